package shoal.bridge.kernel;

/**
 * e^x in F32, and functions made of it, the same bits everywhere: reduction by ln 2 in two parts, then a polynomial of degree 6 (Cephes, expf). Relative
 * error under 2e-7 for -87..88; below that 0, above that infinity.
 */
public final class Exponential {
    public static final float LOWEST = -87.33f;
    public static final float HIGHEST = 88.72f;
    public static final float LOG2_E = 1.44269504088896341f;
    public static final float LN2_HIGH = 0.693359375f;
    public static final float LN2_LOW = -2.12194440e-4f;
    public static final float C5 = 1.9875691500e-4f;
    public static final float C4 = 1.3981999507e-3f;
    public static final float C3 = 8.3334519073e-3f;
    public static final float C2 = 4.1665795894e-2f;
    public static final float C1 = 1.6666665459e-1f;
    public static final float C0 = 5.0000001201e-1f;

    /** Adding and taking away 1.5 * 2^23 rounds a small number to the nearest integer, ties to even. */
    public static final float ROUND = 12_582_912f;

    public static final float SQRT_2_OVER_PI = 0.79788456080286536f;
    public static final float GELU_CUBE = 0.044715f;

    private Exponential() {}

    public static float exp(float x) {
        if (Float.isNaN(x)) {
            return x;
        }
        if (x < LOWEST) {
            return 0;
        }
        if (x > HIGHEST) {
            return Float.POSITIVE_INFINITY;
        }
        float n = (x * LOG2_E + ROUND) - ROUND;
        float r = Math.fma(n, -LN2_HIGH, x);
        r = Math.fma(n, -LN2_LOW, r);
        float p = Math.fma(C5, r, C4);
        p = Math.fma(p, r, C3);
        p = Math.fma(p, r, C2);
        p = Math.fma(p, r, C1);
        p = Math.fma(p, r, C0);
        p = Math.fma(p * r, r, r) + 1f;
        int half = (int) n >> 1; // in two steps, so that 2^128 times a half does not overflow on the way
        return p * power(half) * power((int) n - half);
    }

    private static float power(int exponent) {
        return Float.intBitsToFloat((exponent + 127) << 23);
    }

    /** x / (1 + e^-x). */
    public static float silu(float x) {
        return x / (1f + exp(-x));
    }

    /**
     * x / 2 * (1 + tanh(y)), y = sqrt(2 / pi) * (x + 0.044715 x^3) (Hendrycks and Gimpel 2016, section 2), which is
     * x / (1 + e^(-2y)).
     */
    public static float gelu(float x) {
        float y = SQRT_2_OVER_PI * x * (1f + GELU_CUBE * x * x);
        return x / (1f + exp(-2f * y));
    }

    /** By a polynomial of degree 11 below 0.625 (Cephes, tanhf), else by {@link #exp}. Relative error under 3e-7. */
    public static float tanh(float x) {
        float size = Math.abs(x);
        if (size < 0.625f) {
            float z = x * x;
            float p = Math.fma(-5.70498872745e-3f, z, 2.06390887954e-2f);
            p = Math.fma(p, z, -5.37397155531e-2f);
            p = Math.fma(p, z, 1.33314422036e-1f);
            p = Math.fma(p, z, -3.33332819422e-1f);
            return Math.fma(p * z, x, x);
        }
        return Math.copySign(1f - 2f / (exp(2f * size) + 1f), x);
    }
}
