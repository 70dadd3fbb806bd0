package shoal.bridge.model.sampling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class SamplerTest {
    private static final float[] LOGITS = {1f, 3f, -2f, 3f, 2.5f, 0f};

    private static int draw(SamplingParameters parameters, int position) {
        return Sampler.sample(LOGITS, parameters, 42, position).id();
    }

    @Test
    void greedyTakesTheFirstOfTheBest() {
        SampledToken token = Sampler.sample(LOGITS, SamplingParameters.GREEDY, 1, 0);
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
            counts[draw(new SamplingParameters(0.8f, 0, 1, 0), position)]++;
        }
        double sum = 0;
        for (float logit : LOGITS) {
            sum += Math.exp(logit / 0.8);
        }
        for (int id = 0; id < LOGITS.length; id++) {
            double p = Math.exp(LOGITS[id] / 0.8) / sum;
            double deviation = Math.sqrt(draws * p * (1 - p));
            assertEquals(draws * p, counts[id], 5 * deviation + 1, "token " + id);
        }
    }

    @Test
    void filtersCutTheTail() {
        for (int position = 0; position < 2_000; position++) {
            assertTrue(draw(new SamplingParameters(5, 1, 1, 0), position) == 1, "top-k 1: the lowest id of the best");
            int two = draw(new SamplingParameters(5, 2, 1, 0), position);
            assertTrue(two == 1 || two == 3);
            int byP = draw(new SamplingParameters(5, 0, 0.5f, 0), position);
            assertTrue(byP == 1 || byP == 3, "p(1) + p(3) is above a half, p(1) alone is not");
            int byMinP = draw(new SamplingParameters(5, 0, 1, 0.5f), position);
            assertTrue(byMinP == 1 || byMinP == 3 || byMinP == 4, "exp(-0.5) is above a half, exp(-2) is not");
        }
    }

    @Test
    void isAPureFunctionOfSeedAndPosition() {
        SamplingParameters parameters = new SamplingParameters(1, 0, 1, 0);
        int differing = 0;
        for (int position = 0; position < 1_000; position++) {
            assertEquals(draw(parameters, position), draw(parameters, position));
            if (Sampler.sample(LOGITS, parameters, 43, position).id() != draw(parameters, position)) {
                differing++;
            }
        }
        assertTrue(differing > 300, "another seed draws otherwise: " + differing);
    }

    @Test
    void uniformNumbersAreUniform() {
        int[] counts = new int[16];
        for (int position = 0; position < 160_000; position++) {
            double u = Sampler.uniform(new Random(position).nextLong(), position);
            assertTrue(u >= 0 && u < 1);
            counts[(int) (16 * u)]++;
        }
        for (int count : counts) {
            assertEquals(10_000, count, 500);
        }
    }

    @Test
    void refusesWhatIsNoNumber() {
        assertThrows(
                IllegalArgumentException.class,
                () -> Sampler.sample(new float[] {1, Float.NaN}, SamplingParameters.GREEDY, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> new SamplingParameters(Float.NaN, 0, 1, 0));
        assertThrows(IllegalArgumentException.class, () -> new SamplingParameters(1, 0, 1.5f, 0));
    }
}
