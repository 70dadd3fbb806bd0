package shoal.bridge.model.sampling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import shoal.bridge.kernel.TopLogits;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;

/** Where the highest logits decide alone, they give the token that all of them give. */
class TopLogitsTest {
    private static final long SEED = Long.getLong("shoal.seed", 4_711);

    @Test
    void aFewLogitsGiveTheTokenOfAll() {
        var random = new Random(SEED);
        var history = new TokenHistory(0);
        int decided = 0;
        for (int round = 0; round < 400; round++) {
            var sampling = new Sampling(
                    random.nextInt(3) == 0 ? 0 : random.nextFloat() * 2,
                    random.nextInt(4) == 0 ? 0 : 1 + random.nextInt(60),
                    random.nextBoolean() ? 1 : random.nextFloat(),
                    random.nextBoolean() ? 0 : random.nextFloat() / 4,
                    random.nextInt(3) == 0 ? random.nextFloat() : 1,
                    Sampling.Penalties.NONE,
                    Sampling.Dry.NONE,
                    random.nextInt(3) == 0 ? new Sampling.Xtc(0.5f, 0.05f) : Sampling.Xtc.NONE,
                    null,
                    List.of(),
                    "",
                    0,
                    random.nextLong());
            Sampler sampler = Sampler.of(sampling);
            int count = Math.min(sampler.deciding(), 500);
            if (count == 0) {
                continue;
            }
            decided++;
            float[] logits = new float[500];
            for (int id = 0; id < logits.length; id++) {
                logits[id] = Math.round(8 * random.nextGaussian()) / 4f;
            }
            SampledToken whole = sampler.sample(logits, round, history, SamplingState.START);
            SampledToken few = sampler.sample(top(logits, count), round, SamplingState.START);
            String what = sampling + " (seed " + SEED + ", round " + round + ")";
            assertEquals(whole.id(), few.id(), what);
            assertEquals(whole.logprob(), few.logprob(), 1e-5, what);
            assertEquals(whole.next(), few.next(), what);
        }
        assertTrue(decided > 200, decided + " of the requests were decided by a few");
    }

    private static TopLogits top(float[] logits, int count) {
        int[] ids = IntStream.range(0, logits.length)
                .boxed()
                .sorted(Comparator.comparingDouble((Integer id) -> -logits[id]).thenComparingInt(id -> id))
                .limit(count)
                .mapToInt(Integer::intValue)
                .toArray();
        float[] highest = new float[count];
        double sum = 0;
        for (int i = 0; i < count; i++) {
            highest[i] = logits[ids[i]];
        }
        for (float logit : logits) {
            sum += Math.exp((double) logit - highest[0]);
        }
        return new TopLogits((float) sum, highest, ids);
    }

    @Test
    void whatLooksAtAllIsNotDecidedByAFew() {
        Sampling greedy = Sampling.GREEDY;
        assertEquals(1, Sampler.of(greedy).deciding());
        assertEquals(40, Sampler.of(new Sampling(1, 40, 1, 0, 7)).deciding());
        assertEquals(0, Sampler.of(new Sampling(1, 0, 0.9f, 0, 7)).deciding());
        for (Sampling looking : List.of(
                with(new Sampling.Penalties(64, 1.1f, 0, 0), null, List.of(), 0),
                with(Sampling.Penalties.NONE, new Sampling.Mirostat(5, 0.1f), List.of(), 0),
                with(Sampling.Penalties.NONE, null, List.of(new Sampling.Bias(3, 1)), 0),
                with(Sampling.Penalties.NONE, null, List.of(), 2))) {
            assertEquals(0, Sampler.of(looking).deciding(), looking.toString());
        }
    }

    private static Sampling with(
            Sampling.Penalties penalties, Sampling.Mirostat mirostat, List<Sampling.Bias> biases, int logprobs) {
        return new Sampling(
                0, 40, 1, 0, 1, penalties, Sampling.Dry.NONE, Sampling.Xtc.NONE, mirostat, biases, "", logprobs, 1);
    }
}
