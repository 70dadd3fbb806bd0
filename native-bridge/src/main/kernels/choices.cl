/*
 * The most likely tokens, so that logits need not leave the device. Compiled behind layers.cl.
 *
 * Before another comes the one with the higher logit, among equals the one with the lower id; 0 and -0 are equal.
 */

/* Logits that one group looks through, and of those a work-item's. */
#define STRETCH 4096
#define MINE (STRETCH / (TEAMS * WIDE_LANES))

/* The id of none. */
#define NOBODY 0x7fffffff

FUNCTION int comes_before(float a, int a_id, float b, int b_id) {
    return a > b || (a == b && a_id < b_id);
}

/* Of what a group's work-items bring, the first; all get it. values, ids: room for one of each. */
FUNCTION int first_of_all(float value, int id, LOCAL float *values, LOCAL int *ids, float *found) {
    int item = ITEM(0);
    int first;
    values[item] = value;
    ids[item] = id;
    BARRIER;
    for (int half_size = TEAMS * WIDE_LANES / 2; half_size > 0; half_size /= 2) {
        if (item < half_size && comes_before(values[item + half_size], ids[item + half_size], values[item], ids[item])) {
            values[item] = values[item + half_size];
            ids[item] = ids[item + half_size];
        }
        BARRIER;
    }
    *found = values[0];
    first = ids[0];
    BARRIER;
    return first;
}

/*
 * Of each stretch of a row: the greatest logit, the sum of exp(logit - greatest), which is no number if a logit is none or infinite;
 * then the first few logits, then their ids. One group of TEAMS per stretch (dimension 0) and row (1). picks: 2 + 2 * wanted words for
 * each stretch, row after row.
 */
KERNEL void pick_stretch(GLOBAL const float *logits, GLOBAL float *picks, int vocabulary, int wanted, int stretches) {
    SHARED float values[TEAMS * WIDE_LANES];
    SHARED int ids[TEAMS * WIDE_LANES];
    float mine[MINE];
    float greatest = -INFINITY;
    float sum = 0.0f;
    float found;
    int first = GROUP(0) * STRETCH + ITEM(0);
    int taken = 0;
    GLOBAL int *picked_ids;
    logits += (wide)GROUP(1) * vocabulary;
    picks += ((wide)GROUP(1) * stretches + GROUP(0)) * (2 + 2 * wanted);
    picked_ids = (GLOBAL int *)(picks + 2 + wanted);
    for (int i = 0; i < MINE; i++) {
        int id = first + i * TEAMS * WIDE_LANES;
        mine[i] = id < vocabulary ? logits[id] : -INFINITY;
        greatest = fmax(greatest, mine[i]);
    }
    greatest = all_max(greatest, values);
    for (int i = 0; i < MINE; i++) {
        if (first + i * TEAMS * WIDE_LANES < vocabulary) {
            sum += exponential(mine[i] - greatest) + 0.0f * mine[i];
        }
    }
    sum = all_sum(sum, values);
    if (ITEM(0) == 0) {
        picks[0] = greatest;
        picks[1] = sum;
    }
    for (int rank = 0; rank < wanted; rank++) {
        float best = -INFINITY;
        int best_id = NOBODY;
        for (int i = 0; i < MINE; i++) {
            int id = first + i * TEAMS * WIDE_LANES;
            if (!(taken >> i & 1) && id < vocabulary && comes_before(mine[i], id, best, best_id)) {
                best = mine[i];
                best_id = id;
            }
        }
        best_id = first_of_all(best, best_id, values, ids, &found);
        if (best_id != NOBODY && best_id >= first && (best_id - first) % (TEAMS * WIDE_LANES) == 0) {
            taken |= 1 << (best_id - first) / (TEAMS * WIDE_LANES);
        }
        if (ITEM(0) == 0) {
            picks[2 + rank] = found;
            picked_ids[rank] = best_id;
        }
    }
}

/*
 * Of each row: the sum of exp(logit - greatest) over all of it, then the first few logits, then their ids: 1 + 2 * wanted words. One
 * group of TEAMS per row; there are at most as many stretches as work-items.
 */
KERNEL void pick_join(GLOBAL const float *picks, GLOBAL float *out, int wanted, int stretches) {
    SHARED float values[TEAMS * WIDE_LANES];
    SHARED int ids[TEAMS * WIDE_LANES];
    int item = ITEM(0);
    int next = 0;
    float greatest, sum, found;
    GLOBAL const float *mine = picks + ((wide)GROUP(0) * stretches + item) * (2 + 2 * wanted);
    GLOBAL const int *mine_ids = (GLOBAL const int *)(mine + 2 + wanted);
    GLOBAL int *out_ids;
    out += (wide)GROUP(0) * (1 + 2 * wanted);
    out_ids = (GLOBAL int *)(out + 1 + wanted);
    greatest = all_max(item < stretches ? mine[0] : -INFINITY, values);
    sum = all_sum(item < stretches ? mine[1] * exponential(mine[0] - greatest) : 0.0f, values);
    if (item == 0) {
        out[0] = sum;
    }
    for (int rank = 0; rank < wanted; rank++) {
        int has = item < stretches && next < wanted;
        int own = has ? mine_ids[next] : NOBODY;
        int best = first_of_all(has ? mine[2 + next] : -INFINITY, own, values, ids, &found);
        if (has && best == own && best != NOBODY) {
            next++;
        }
        if (item == 0) {
            out[1 + rank] = found;
            out_ids[rank] = best;
        }
    }
}
