/* SHA-256 (FIPS 180-4) and BLAKE3 (its paper, section 2) of LANES messages side by side: lane i of every vector belongs to
 * message i. Included once for each width, with these macros defined:
 *   LANES, V, TARGET, NAME(x), ADD, XOR, XOR3, CHOOSE, MAJORITY, ROTATE(x, n), SHIFT(x, n), SPLAT(word), LOAD(p), STORE(p, v),
 *   TRANSPOSE_BYTES: words of 64 bytes of each message, most significant byte first, into w[16]; TRANSPOSE_WORDS: as they lie.
 */

#define S0(x) XOR3(ROTATE(x, 2), ROTATE(x, 13), ROTATE(x, 22))
#define S1(x) XOR3(ROTATE(x, 6), ROTATE(x, 11), ROTATE(x, 25))
#define T0(x) XOR3(ROTATE(x, 7), ROTATE(x, 18), SHIFT(x, 3))
#define T1(x) XOR3(ROTATE(x, 17), ROTATE(x, 19), SHIFT(x, 10))

#define ROUND(a, b, c, d, e, f, g, h, t)                                                                     \
    do {                                                                                                     \
        V t1 = ADD(ADD(ADD(h, ADD(w[(t)&15], SPLAT(k[t]))), CHOOSE(e, f, g)), S1(e));                 \
        d = ADD(d, t1);                                                                                      \
        h = ADD(ADD(t1, MAJORITY(a, b, c)), S0(a));                                                          \
    } while (0)

#define NEXT(t) \
    w[(t)&15] = ADD(ADD(w[(t)&15], T0(w[((t) + 1) & 15])), ADD(w[((t) + 9) & 15], T1(w[((t) + 14) & 15])))

#define EIGHT(t)                                 \
    ROUND(a, b, c, d, e, f, g, h, (t));          \
    ROUND(h, a, b, c, d, e, f, g, (t) + 1);      \
    ROUND(g, h, a, b, c, d, e, f, (t) + 2);      \
    ROUND(f, g, h, a, b, c, d, e, (t) + 3);      \
    ROUND(e, f, g, h, a, b, c, d, (t) + 4);      \
    ROUND(d, e, f, g, h, a, b, c, (t) + 5);      \
    ROUND(c, d, e, f, g, h, a, b, (t) + 6);      \
    ROUND(b, c, d, e, f, g, h, a, (t) + 7)

#define NEXT_EIGHT(t) \
    NEXT(t);          \
    NEXT((t) + 1);    \
    NEXT((t) + 2);    \
    NEXT((t) + 3);    \
    NEXT((t) + 4);    \
    NEXT((t) + 5);    \
    NEXT((t) + 6);    \
    NEXT((t) + 7)

/* Takes the next 64 * blocks bytes of each message into state, 8 words of LANES lanes, and moves the messages on. */
TARGET static void NAME(sha256_compress)(uint32_t *state, const uint8_t **messages, size_t blocks) {
    V s[8];
    for (int i = 0; i < 8; i++) s[i] = LOAD(state + i * LANES);
    for (size_t block = 0; block < blocks; block++) {
        V w[16];
        NAME(transpose_bytes)(messages, w);
        for (int i = 0; i < LANES; i++) {
            messages[i] += 64;
            __builtin_prefetch(messages[i] + 192);
        }
        V a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
        const uint32_t *k = SHA256_K;
        EIGHT(0);
        EIGHT(8);
        for (int t = 16; t < 64; t += 16) {
            NEXT_EIGHT(0);
            k = SHA256_K + t;
            EIGHT(0);
            NEXT_EIGHT(8);
            EIGHT(8);
        }
        s[0] = ADD(s[0], a);
        s[1] = ADD(s[1], b);
        s[2] = ADD(s[2], c);
        s[3] = ADD(s[3], d);
        s[4] = ADD(s[4], e);
        s[5] = ADD(s[5], f);
        s[6] = ADD(s[6], g);
        s[7] = ADD(s[7], h);
    }
    for (int i = 0; i < 8; i++) STORE(state + i * LANES, s[i]);
}

/* LANES messages of the same length, 32 bytes each to out. */
TARGET static void NAME(sha256)(const uint8_t *const *messages, size_t length, uint8_t *out) {
    _Alignas(64) uint32_t state[8 * LANES];
    uint8_t tails[LANES][128];
    const uint8_t *at[LANES];
    for (int i = 0; i < 8; i++)
        for (int lane = 0; lane < LANES; lane++) state[i * LANES + lane] = SHA256_START[i];
    for (int lane = 0; lane < LANES; lane++) at[lane] = messages[lane];
    NAME(sha256_compress)(state, at, length / 64);
    size_t blocks = 0;
    for (int lane = 0; lane < LANES; lane++) {
        blocks = sha256_tail(messages[lane], length, tails[lane]);
        at[lane] = tails[lane];
    }
    NAME(sha256_compress)(state, at, blocks);
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 8; i++) put_big(out + 32 * lane + 4 * i, state[i * LANES + lane]);
}

#define G(a, b, c, d, x, y)                  \
    a = ADD(ADD(a, b), m[x]);                \
    d = ROTATE(XOR(d, a), 16);               \
    c = ADD(c, d);                           \
    b = ROTATE(XOR(b, c), 12);               \
    a = ADD(ADD(a, b), m[y]);                \
    d = ROTATE(XOR(d, a), 8);                \
    c = ADD(c, d);                           \
    b = ROTATE(XOR(b, c), 7)

#define MIX(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if_) \
    G(v0, v4, v8, vc, i0, i1);                                               \
    G(v1, v5, v9, vd, i2, i3);                                               \
    G(v2, v6, va, ve, i4, i5);                                               \
    G(v3, v7, vb, vf, i6, i7);                                               \
    G(v0, v5, va, vf, i8, i9);                                               \
    G(v1, v6, vb, vc, ia, ib);                                               \
    G(v2, v7, v8, vd, ic, id);                                               \
    G(v3, v4, v9, ve, ie, if_)

/* Chaining values of LANES inputs of blocks * 64 bytes each: chunks, numbered from counter, or parents (blocks is 1). */
TARGET static void NAME(blake3)(
        const uint8_t *const *inputs, size_t blocks, uint64_t counter, uint32_t step, uint32_t flags, uint32_t first,
        uint32_t last, uint8_t *out) {
    const uint8_t *at[LANES];
    _Alignas(64) uint32_t low[LANES], high[LANES], result[8][LANES];
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t number = counter + (uint64_t)lane * step;
        at[lane] = inputs[lane];
        low[lane] = (uint32_t)number;
        high[lane] = (uint32_t)(number >> 32);
    }
    V h0 = SPLAT(SHA256_START[0]), h1 = SPLAT(SHA256_START[1]), h2 = SPLAT(SHA256_START[2]), h3 = SPLAT(SHA256_START[3]);
    V h4 = SPLAT(SHA256_START[4]), h5 = SPLAT(SHA256_START[5]), h6 = SPLAT(SHA256_START[6]), h7 = SPLAT(SHA256_START[7]);
    for (size_t block = 0; block < blocks; block++) {
        V m[16];
        NAME(transpose_words)(at, m);
        for (int lane = 0; lane < LANES; lane++) {
            at[lane] += 64;
            __builtin_prefetch(at[lane] + 192);
        }
        uint32_t flag = flags | (block == 0 ? first : 0) | (block + 1 == blocks ? last : 0);
        V v0 = h0, v1 = h1, v2 = h2, v3 = h3, v4 = h4, v5 = h5, v6 = h6, v7 = h7;
        V v8 = SPLAT(SHA256_START[0]), v9 = SPLAT(SHA256_START[1]), va = SPLAT(SHA256_START[2]), vb = SPLAT(SHA256_START[3]);
        V vc = LOAD(low), vd = LOAD(high), ve = SPLAT(64), vf = SPLAT(flag);
        MIX(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        MIX(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
        MIX(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
        MIX(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
        MIX(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
        MIX(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
        MIX(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
        h0 = XOR(v0, v8);
        h1 = XOR(v1, v9);
        h2 = XOR(v2, va);
        h3 = XOR(v3, vb);
        h4 = XOR(v4, vc);
        h5 = XOR(v5, vd);
        h6 = XOR(v6, ve);
        h7 = XOR(v7, vf);
    }
    STORE(result[0], h0);
    STORE(result[1], h1);
    STORE(result[2], h2);
    STORE(result[3], h3);
    STORE(result[4], h4);
    STORE(result[5], h5);
    STORE(result[6], h6);
    STORE(result[7], h7);
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 8; i++) memcpy(out + 32 * lane + 4 * i, &result[i][lane], 4);
}

#undef S0
#undef S1
#undef T0
#undef T1
#undef ROUND
#undef NEXT
#undef EIGHT
#undef NEXT_EIGHT
#undef G
#undef MIX
#undef LANES
#undef V
#undef TARGET
#undef NAME
#undef ADD
#undef XOR
#undef XOR3
#undef CHOOSE
#undef MAJORITY
#undef ROTATE
#undef SHIFT
#undef SPLAT
#undef LOAD
#undef STORE
