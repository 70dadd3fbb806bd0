package shoal.bridge.model.sampling;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import shoal.bridge.model.text.WordTokenizer;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.TokenLogprob;

class SamplerTest {
    private static final float[] LOGITS = {1f, 3f, -2f, 3f, 2.5f, 0f};
    private static final TokenHistory NONE = new TokenHistory(0);

    private static int draw(Sampling sampling, int position) {
        return Sampler.of(sampling)
                .sample(LOGITS, position, NONE, SamplingState.START)
                .id();
    }

    private static Sampling plain(float temperature, int topK, float topP, float minP) {
        return new Sampling(temperature, topK, topP, minP, 42);
    }

    @Test
    void greedyTakesTheFirstOfTheBest() {
        SampledToken token = Sampler.of(Sampling.GREEDY).sample(LOGITS, 0, NONE, SamplingState.START);
        assertEquals(1, token.id());
        double sum = 0;
        for (float logit : LOGITS) {
            sum += Math.exp(logit);
        }
        assertEquals(Math.log(Math.exp(3) / sum), token.logprob(), 1e-6);
    }

    /** Drawn shares match softmax(logits / temperature) within five standard deviations. */
    @Test
    void drawsByProbability() {
        int draws = 100_000;
        int[] counts = new int[LOGITS.length];
        for (int position = 0; position < draws; position++) {
            counts[draw(plain(0.8f, 0, 1, 0), position)]++;
        }
        double sum = 0;
        for (float logit : LOGITS) {
            sum += Math.exp(logit / 0.8);
        }
        for (int id = 0; id < LOGITS.length; id++) {
            double p = Math.exp(LOGITS[id] / 0.8) / sum;
            assertShare(p, counts[id], draws, "token " + id);
        }
    }

    private static void assertShare(double expected, int count, int draws, String what) {
        double deviation = Math.sqrt(draws * expected * (1 - expected));
        assertEquals(draws * expected, count, 5 * deviation + 1, what);
    }

    // ------------------------------------------------- the numbers of llama.cpp's own tests/test-sampling.cpp

    /** Of what is drawn from these probabilities behind these tokens, in 20,000 draws. */
    private static void assertDistribution(double[] expected, double[] from, Sampling sampling, int... history) {
        float[] logits = new float[from.length];
        for (int i = 0; i < from.length; i++) {
            logits[i] = (float) Math.log(from[i]);
        }
        int draws = 20_000;
        int[] counts = new int[from.length];
        var words = WordTokenizer.of("0", "1", "2", "3", "4");
        Sampler sampler = null;
        for (int seed = 0; seed < draws; seed++) {
            var seeded = new Sampling(
                    sampling.temperature(),
                    sampling.topK(),
                    sampling.topP(),
                    sampling.minP(),
                    sampling.typicalP(),
                    sampling.penalties(),
                    sampling.dry(),
                    sampling.xtc(),
                    sampling.mirostat(),
                    sampling.logitBias(),
                    sampling.grammar(),
                    0,
                    seed);
            sampler = Sampler.of(seeded, words);
            counts[
                    sampler.sample(logits, new TokenHistory(history), SamplingState.START)
                            .id()]++;
        }
        for (int id = 0; id < from.length; id++) {
            assertShare(expected[id], counts[id], draws, sampling + " token " + id);
        }
    }

    private static final double[] RISING = {0.1, 0.2, 0.3, 0.4};
    private static final double[] FALLING = {0.4, 0.3, 0.2, 0.1};
    private static final double[] FIVE = {0.2, 0.2, 0.2, 0.2, 0.2};

    @Test
    void filtersAsLlamaCpp() {
        assertDistribution(new double[] {0, 0, 0, 1}, RISING, plain(0, 0, 1, 0));
        assertDistribution(new double[] {0, 0, 0, 1}, RISING, plain(1, 1, 1, 0));
        assertDistribution(new double[] {0, 0.22222, 0.33333, 0.44444}, RISING, plain(1, 3, 1, 0));
        assertDistribution(RISING, RISING, plain(1, 4, 1, 0));
        assertDistribution(new double[] {0, 0, 0, 1}, RISING, plain(1, 0, 0, 0));
        assertDistribution(new double[] {0, 0, 0.428571, 0.571429}, RISING, plain(1, 0, 0.699f, 0));
        assertDistribution(new double[] {0, 0.22222, 0.33333, 0.44444}, RISING, plain(1, 0, 0.8f, 0));
        assertDistribution(RISING, RISING, plain(1, 0, 1, 0.24f));
        assertDistribution(new double[] {0, 0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9}, RISING, plain(1, 0, 1, 0.26f));
        assertDistribution(new double[] {0, 0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9}, RISING, plain(1, 0, 1, 0.49f));
        assertDistribution(new double[] {0, 0, 0.3 / 0.7, 0.4 / 0.7}, RISING, plain(1, 0, 1, 0.51f));
        assertDistribution(new double[] {0, 0, 0.3 / 0.7, 0.4 / 0.7}, RISING, plain(1, 0, 1, 0.74f));
        assertDistribution(new double[] {0, 0, 0, 1}, RISING, plain(1, 0, 1, 0.76f));
        Sampling typical = plain(1, 0, 1, 0).withTypicalP(0.5f);
        assertDistribution(new double[] {1, 0, 0, 0}, new double[] {0.97, 0.01, 0.01, 0.01}, typical);
        assertDistribution(new double[] {0, 1 / 3., 1 / 3., 1 / 3.}, new double[] {0.4, 0.2, 0.2, 0.2}, typical);
    }

    @Test
    void excludesTopChoicesAsLlamaCpp() {
        double p = 1; // always, where llama.cpp's tests have 0.99 and a lucky seed
        Sampling sampling = plain(1, 0, 1, 0);
        assertDistribution(new double[] {0, 0, 0, 1}, FALLING, sampling.withXtc(new Sampling.Xtc((float) p, 0.09f)));
        assertDistribution(
                new double[] {0, 0, 2 / 3., 1 / 3.}, FALLING, sampling.withXtc(new Sampling.Xtc((float) p, 0.19f)));
        assertDistribution(
                new double[] {0, 0.5, 1 / 3., 1 / 6.}, FALLING, sampling.withXtc(new Sampling.Xtc((float) p, 0.29f)));
        assertDistribution(FALLING, FALLING, sampling.withXtc(new Sampling.Xtc((float) p, 0.39f)));
        double[] half = {0.2, 0.15, 0.1, 0.55}; // in one case of two as above
        assertDistribution(half, FALLING, sampling.withXtc(new Sampling.Xtc(0.5f, 0.09f)));
    }

    @Test
    void penalisesAsLlamaCpp() {
        // logits below 0 are multiplied: log 0.2 × 50
        Sampling repeat = plain(1, 0, 1, 0).withPenalties(new Sampling.Penalties(-1, 50, 0, 0));
        assertDistribution(new double[] {0, 0.25, 0.25, 0.25, 0.25}, FIVE, repeat, 0);
        assertDistribution(new double[] {0, 0, 0, 0.5, 0.5}, FIVE, repeat, 0, 1, 2);
        assertDistribution(new double[] {0, 0, 0, 0.5, 0.5}, FIVE, repeat, 0, 1, 2, 0, 0);
        Sampling both = plain(1, 0, 1, 0).withPenalties(new Sampling.Penalties(-1, 1, 5, 5));
        assertDistribution(new double[] {0.000011, 0.249997, 0.249997, 0.249997, 0.249997}, FIVE, both, 0);
        assertDistribution(new double[] {0, 0.000023, 0.000023, 0.499977, 0.499977}, FIVE, both, 0, 1, 2, 0, 0);
        Sampling short1 = plain(1, 0, 1, 0).withPenalties(new Sampling.Penalties(2, 50, 0, 0));
        assertDistribution(new double[] {1 / 3., 0, 0, 1 / 3., 1 / 3.}, FIVE, short1, 0, 1, 2);
        Sampling frequency = plain(1, 0, 1, 0).withPenalties(new Sampling.Penalties(-1, 1, (float) Math.log(2), 0));
        assertDistribution(
                new double[] {0.25 / 3.75, 0.5 / 3.75, 1 / 3.75, 1 / 3.75, 1 / 3.75}, FIVE, frequency, 0, 0, 1);
    }

    private static Sampling dry(float multiplier, int allowed, int lastN, String... breakers) {
        return plain(1, 0, 1, 0).withDry(new Sampling.Dry(multiplier, 1.1f, allowed, lastN, List.of(breakers)));
    }

    @Test
    void dryAsLlamaCpp() {
        double[] four = {0.25, 0.25, 0.25, 0.25};
        assertDistribution(four, four, dry(1, 2, 4), 0, 1);
        assertDistribution(new double[] {0.296923, 0.296923, 0.109232, 0.296923}, four, dry(1, 2, 5), 0, 1, 2, 0, 1);
        assertDistribution(FIVE, FIVE, dry(1, 2, 6, "3"), 0, 1, 3, 4, 0, 1, 3);
        assertDistribution(
                new double[] {0.241818, 0.241818, 0.032727, 0.241818, 0.241818}, FIVE, dry(2, 2, 5), 0, 1, 2, 0, 1);
        assertDistribution(FIVE, FIVE, dry(1, 4, 7), 0, 1, 2, 3, 4, 0, 1);
    }

    @Test
    void aBreakerMayLieAcrossTokens() {
        Sampling whole = dry(1, 2, -1, "12");
        double[] free = FIVE;
        assertDistribution(free, FIVE, whole, 3, 4, 0, 3, 4, 1, 2);
        double[] caught = {0.109232 / 0.296923, 1, 1, 1, 1};
        double sum = Arrays.stream(caught).sum();
        assertDistribution(Arrays.stream(caught).map(p -> p / sum).toArray(), FIVE, whole, 3, 4, 0, 1, 3, 4);
    }

    // ----------------------------------------------------------------------------------------------- the rest

    @Test
    void biasesAreAddedAndMinusInfinityForbids() {
        var sampling = plain(1, 0, 1, 0)
                .withLogitBias(List.of(
                        new Sampling.Bias(3, Float.NEGATIVE_INFINITY), new Sampling.Bias(0, (float) Math.log(2))));
        assertDistribution(new double[] {0.2 / 0.7, 0.2 / 0.7, 0.3 / 0.7, 0}, RISING, sampling);
        var nothing = Sampling.GREEDY.withLogitBias(java.util.stream.IntStream.range(0, LOGITS.length)
                .mapToObj(id -> new Sampling.Bias(id, Float.NEGATIVE_INFINITY))
                .toList());
        assertThrows(IllegalStateException.class, () -> draw(nothing, 0));
    }

    /** Basu et al., algorithm 2: the mean surprise of what is drawn comes near tau. */
    @Test
    void mirostatKeepsTheSurprise() {
        float[] logits = new float[2_000];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (-1.1 * Math.log(i + 1)); // Zipf
        }
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit);
        }
        for (float tau : new float[] {2, 3.5f, 5}) {
            Sampler sampler = Sampler.of(plain(1, 0, 1, 0).withMirostat(new Sampling.Mirostat(tau, 0.1f)));
            SamplingState state = SamplingState.START;
            double surprise = 0;
            int draws = 4_000;
            for (int position = 0; position < draws; position++) {
                SampledToken token = sampler.sample(logits, position, NONE, state);
                state = token.next();
                if (position == 0) {
                    assertTrue(state.mu() > tau, "mu starts at 2 tau");
                }
                surprise -= Math.log(Math.exp(logits[token.id()]) / sum) / Math.log(2);
            }
            // the surprise that mirostat sees is that among the tokens it kept: smaller by what the others weigh
            assertTrue(surprise / draws > tau - 0.2 && surprise / draws < tau + 2, tau + ": " + surprise / draws);
        }
    }

    @Test
    void logprobsAreTheModels() {
        var sampling = plain(0.5f, 1, 0.5f, 0.5f).withLogprobs(3).withLogitBias(List.of(new Sampling.Bias(2, 100)));
        SampledToken token = Sampler.of(sampling).sample(LOGITS, 0, NONE, SamplingState.START);
        double sum = 0;
        for (float logit : LOGITS) {
            sum += Math.exp(logit);
        }
        assertEquals(2, token.id());
        assertEquals(-2 - Math.log(sum), token.logprob(), 1e-5);
        assertEquals(
                List.of(1, 3, 4), token.top().stream().map(TokenLogprob::token).toList());
        assertEquals(2.5 - Math.log(sum), token.top().get(2).logprob(), 1e-5);
    }

    /** Cut anywhere: a fresh sampler that is told the tokens so far and the state goes on with the same tokens. */
    @Test
    void anotherMachineGoesOn() {
        for (long seed = 0; seed < 150; seed++) {
            var random = new Random(seed);
            Sampling sampling = randomSampling(random);
            var words = WordTokenizer.of("a", "b", "c", "ab", "bc", "abc", "é", "d\n", " e", "\n");
            int[] prompt = {random.nextInt(10), random.nextInt(10), random.nextInt(10)};
            int length = 30;
            Sampler one = Sampler.of(sampling, words);
            var history = new TokenHistory(prompt);
            List<SamplingState> states = new ArrayList<>(List.of(SamplingState.START));
            List<Integer> tokens = new ArrayList<>();
            while (tokens.size() < length) {
                SampledToken token = one.sample(logits(seed, history), history, states.getLast());
                if (token.id() == words.end()) {
                    break;
                }
                history.add(token.id());
                tokens.add(token.id());
                states.add(token.next());
            }
            for (int cut = 0; cut < tokens.size(); cut++) {
                Sampler other = Sampler.of(sampling, words);
                var known = new TokenHistory(prompt);
                tokens.subList(0, cut).forEach(known::add);
                SampledToken next = other.sample(logits(seed, known), known, states.get(cut));
                assertEquals(tokens.get(cut), next.id(), "seed " + seed + " cut " + cut + " " + sampling);
                assertEquals(states.get(cut + 1), next.next(), "seed " + seed + " cut " + cut);
            }
        }
    }

    /** As a model would give them: from all tokens before. */
    private static float[] logits(long seed, TokenHistory history) {
        var random = new Random(seed * 31 + Arrays.hashCode(history.toArray()));
        float[] logits = new float[11];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) random.nextGaussian() * 3;
        }
        return logits;
    }

    private static Sampling randomSampling(Random random) {
        return new Sampling(
                random.nextInt(4) == 0 ? 0 : random.nextFloat() * 2,
                random.nextInt(8),
                random.nextBoolean() ? 1 : random.nextFloat(),
                random.nextBoolean() ? 0 : random.nextFloat() / 2,
                random.nextBoolean() ? 1 : random.nextFloat(),
                random.nextBoolean()
                        ? Sampling.Penalties.NONE
                        : new Sampling.Penalties(random.nextInt(20) - 1, 1.3f, 0.3f, 0.2f),
                random.nextBoolean()
                        ? Sampling.Dry.NONE
                        : new Sampling.Dry(0.8f, 1.75f, 1 + random.nextInt(3), -1, List.of("\n", "cab")),
                random.nextBoolean() ? Sampling.Xtc.NONE : new Sampling.Xtc(0.5f, 0.1f),
                random.nextInt(3) == 0 ? new Sampling.Mirostat(2, 0.1f) : null,
                random.nextBoolean() ? List.of() : List.of(new Sampling.Bias(1, 1.5f)),
                random.nextBoolean() ? "" : "root ::= ([a-c]+ \"é\"? \"d\\n\")* [ e]*",
                3,
                random.nextLong());
    }

    @Test
    void isAPureFunctionOfSeedAndPosition() {
        int differing = 0;
        for (int position = 0; position < 1_000; position++) {
            assertEquals(draw(plain(1, 0, 1, 0), position), draw(plain(1, 0, 1, 0), position));
            if (draw(new Sampling(1, 0, 1, 0, 43), position) != draw(plain(1, 0, 1, 0), position)) {
                differing++;
            }
        }
        assertTrue(differing > 300, "another seed draws otherwise: " + differing);
    }

    @Test
    void uniformNumbersAreUniform() {
        for (int purpose = 0; purpose < 4; purpose++) {
            int[] counts = new int[16];
            for (int position = 0; position < 160_000; position++) {
                double u = Sampler.uniform(new Random(position).nextLong(), position, purpose);
                assertTrue(u >= 0 && u < 1);
                counts[(int) (16 * u)]++;
            }
            for (int count : counts) {
                assertEquals(10_000, count, 500);
            }
        }
    }

    @Test
    void theExponentialIsOne() {
        for (double x = 0; x > -708; x -= 0.0137) {
            double expected = StrictMath.exp(x);
            assertEquals(expected, Exponential.of(x), 8 * Math.ulp(expected), "x " + x);
        }
        assertEquals(0, Exponential.of(-1e9));
        assertEquals(0, Exponential.of(Double.NEGATIVE_INFINITY));
        assertEquals(1, Exponential.of(0));
    }

    /** Lazily sorted, against a plain sort. */
    @Test
    void candidatesAreInOrder() {
        for (long seed = 0; seed < 40; seed++) {
            var random = new Random(seed);
            float[] logits = new float[1 + random.nextInt(3_000)];
            for (int i = 0; i < logits.length; i++) {
                logits[i] = random.nextInt(20) == 0 ? Float.NEGATIVE_INFINITY : random.nextInt(200) / 10f;
            }
            int[] expected = java.util.stream.IntStream.range(0, logits.length)
                    .filter(id -> logits[id] > Float.NEGATIVE_INFINITY)
                    .boxed()
                    .sorted(java.util.Comparator.comparingDouble((Integer id) -> -logits[id])
                            .thenComparingInt(id -> id))
                    .mapToInt(Integer::intValue)
                    .toArray();
            var candidates = new Candidates(logits);
            int kept = candidates.count();
            if (random.nextBoolean()) {
                kept = Math.min(kept, random.nextInt(kept + 1));
                candidates.keepFirst(kept);
            }
            int[] got = new int[kept];
            for (int i = 0; i < kept; i++) {
                got[i] = candidates.id(i);
            }
            assertArrayEquals(Arrays.copyOf(expected, kept), got, "seed " + seed);
        }
    }

    @Test
    void refusesWhatIsNoNumber() {
        assertThrows(
                IllegalArgumentException.class,
                () -> Sampler.of(Sampling.GREEDY).sample(new float[] {1, Float.NaN}, 0, NONE, SamplingState.START));
        assertThrows(IllegalArgumentException.class, () -> plain(Float.NaN, 0, 1, 0));
        assertThrows(IllegalArgumentException.class, () -> plain(1, 0, 1.5f, 0));
        assertThrows(
                IllegalArgumentException.class,
                () -> Sampler.of(plain(1, 0, 1, 0).withPenalties(new Sampling.Penalties(5, 2, 0, 0)))
                        .sample(LOGITS, 3, NONE, SamplingState.START));
    }
}
