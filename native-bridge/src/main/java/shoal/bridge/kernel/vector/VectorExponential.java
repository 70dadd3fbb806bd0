package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.INTS;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.Exponential;

/** {@link Exponential}, to the bit, on vectors. */
final class VectorExponential {
    private static final int ROUND_BITS = Float.floatToRawIntBits(Exponential.ROUND);
    private static final int BIAS = 127;

    private VectorExponential() {}

    static FloatVector exp(FloatVector x) {
        FloatVector rounded = x.mul(Exponential.LOG2_E).add(Exponential.ROUND);
        FloatVector n = rounded.sub(Exponential.ROUND);
        FloatVector r = n.fma(FloatVector.broadcast(FLOATS, -Exponential.LN2_HIGH), x);
        r = n.fma(FloatVector.broadcast(FLOATS, -Exponential.LN2_LOW), r);
        FloatVector p =
                r.fma(FloatVector.broadcast(FLOATS, Exponential.C5), FloatVector.broadcast(FLOATS, Exponential.C4));
        p = p.fma(r, FloatVector.broadcast(FLOATS, Exponential.C3));
        p = p.fma(r, FloatVector.broadcast(FLOATS, Exponential.C2));
        p = p.fma(r, FloatVector.broadcast(FLOATS, Exponential.C1));
        p = p.fma(r, FloatVector.broadcast(FLOATS, Exponential.C0));
        p = p.mul(r).fma(r, r).add(1f);
        // the rounded number has n in its lowest bits
        IntVector exponent = rounded.reinterpretAsInts().sub(ROUND_BITS);
        IntVector half = exponent.lanewise(VectorOperators.ASHR, 1);
        FloatVector result = p.mul(power(half)).mul(power(exponent.sub(half)));
        return result.blend(0f, x.compare(VectorOperators.LT, Exponential.LOWEST))
                .blend(Float.POSITIVE_INFINITY, x.compare(VectorOperators.GT, Exponential.HIGHEST));
    }

    private static FloatVector power(IntVector exponent) {
        return exponent.add(IntVector.broadcast(INTS, BIAS))
                .lanewise(VectorOperators.LSHL, 23)
                .reinterpretAsFloats();
    }

    static FloatVector silu(FloatVector x) {
        return x.div(exp(x.neg()).add(1f));
    }

    static FloatVector gelu(FloatVector x) {
        FloatVector y = x.mul(Exponential.SQRT_2_OVER_PI)
                .mul(x.mul(Exponential.GELU_CUBE).mul(x).add(1f));
        return x.div(exp(y.mul(-2f)).add(1f));
    }
}
