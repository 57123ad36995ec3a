// Section 12 of the profile: the token behind a wanted position of whose logits nothing else is asked. A block a position.
//
// Nothing is sorted. Of the tokens in order, the one at which a sum of counts or weights passes a bound is found four bits of its
// logit at a time, from a sum for each value of those bits. The sums are integers: no order of additions shows. What is known to be out is
// dropped; each thread moves what is left of its own tokens to the first of its own slots, so that nobody waits for anybody.
#include "params.cuh"
#include "profile.cuh"

enum : u32 { CHOOSE_THREADS = 512, CHOOSE_WARPS = CHOOSE_THREADS / 32, WAYS = 16, NO_TOKEN = 0xffffffffu, PPM = 1000000 };

// Logits as words that ascend as they do; −0 is +0.
enum : u32 { MINUS_INFINITY = 0x007fffffu, PLUS_INFINITY = 0xff800000u };

DEVICE u32 key_of(float logit) {
    u32 bits = bits_of(logit);
    if (bits == 0x80000000u) bits = 0;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

DEVICE float logit_of(u32 key) { return of_bits(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

DEVICE u64 weight(float logit, float most) {
    return (u64)to_int(nearest(mul_rn(exponential(sub_rn(logit, most)), 16777216.0f)));
}

DEVICE u64 exchange_wide(u64 value, int mask) {
    u32 low = exchange_xor((u32)value, mask), high = exchange_xor((u32)(value >> 32), mask);
    return (u64)high << 32 | low;
}

// The high half of a product.
DEVICE u64 high_product(u64 a, u64 b) {
    u64 a0 = (u32)a, a1 = a >> 32, b0 = (u32)b, b1 = b >> 32;
    u64 middle = a1 * b0 + (a0 * b0 >> 32);
    u64 other = a0 * b1 + (u32)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

// Shared memory of a block: a sum for each warp and value, and for each value.
struct Sums {
    u64* parts;
    u64* totals;
};

// The largest of the threads' values, or their sum.
template <bool LARGEST>
DEVICE u64 over_block(u64 value, const Sums& sums) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) {
        u64 other = exchange_wide(value, mask);
        value = !LARGEST ? value + other : other > value ? other : value;
    }
    sync_block();
    if (threadIdx.x % 32 == 0) sums.parts[threadIdx.x / 32] = value;
    sync_block();
    u64 result = sums.parts[0];
    for (u32 warp = 1; warp < CHOOSE_WARPS; warp++) {
        u64 other = sums.parts[warp];
        result = !LARGEST ? result + other : other > result ? other : result;
    }
    return result;
}

// Lanes of a warp hand each other half of the sums that they still have, until each pair of lanes has one: that of its number.
template <u32 HALF>
DEVICE void halve(u64 (&mine)[WAYS], u32 lane) {
    bool upper = lane & (HALF * 2);
    UNROLL for (u32 i = 0; i < HALF; i++) {
        u64 kept = upper ? mine[HALF + i] : mine[i], given = upper ? mine[i] : mine[HALF + i];
        mine[i] = kept + exchange_wide(given, HALF * 2);
    }
    if constexpr (HALF > 1) halve<HALF / 2>(mine, lane);
}

// Sixteen sums over the block, to `totals`.
DEVICE void add_up(u64 (&mine)[WAYS], const Sums& sums) {
    u32 lane = threadIdx.x % 32;
    halve<WAYS / 2>(mine, lane);
    u64 sum = mine[0] + exchange_wide(mine[0], 1);
    sync_block();
    if (lane % 2 == 0) sums.parts[threadIdx.x / 32 * WAYS + lane / 2] = sum;
    sync_block();
    if (threadIdx.x < WAYS) {
        u64 total = 0;
        for (u32 warp = 0; warp < CHOOSE_WARPS; warp++) total += sums.parts[warp * WAYS + threadIdx.x];
        sums.totals[threadIdx.x] = total;
    }
    sync_block();
}

// A thread's tokens that are left: in its first `count` slots, which lie a block's threads apart.
struct Mine {
    float* logits;
    u32* ids;
    u32 count;
    float most;  // of all tokens

    DEVICE_MEMBER float logit(u32 slot) const { return logits[(u64)slot * CHOOSE_THREADS]; }
    DEVICE_MEMBER u32 id(u32 slot) const { return ids[(u64)slot * CHOOSE_THREADS]; }
    // To a slot that was looked at already.
    DEVICE_MEMBER void put(float logit, u32 id) {
        logits[(u64)count * CHOOSE_THREADS] = logit;
        ids[(u64)count * CHOOSE_THREADS] = id;
        count += 1;
    }
    DEVICE_MEMBER u64 weigh(u32 slot) const { return weight(logit(slot), most); }
    DEVICE_MEMBER u64 weigh() const {
        u64 sum = 0;
        for (u32 slot = 0; slot < count; slot++) sum += weigh(slot);
        return sum;
    }
};

// Tokens by logit, each for one or for its weight.
struct ByLogit {
    bool weighs;
    DEVICE_MEMBER u32 word(const Mine& mine, u32 slot) const { return key_of(mine.logit(slot)); }
    DEVICE_MEMBER u64 measure(const Mine& mine, u32 slot) const { return weighs ? mine.weigh(slot) : 1; }
};

// Tokens of one logit, the lowest id first.
struct ById {
    u32 key;
    DEVICE_MEMBER u32 word(const Mine& mine, u32 slot) const { return ~mine.id(slot); }
    DEVICE_MEMBER u64 measure(const Mine& mine, u32 slot) const { return key_of(mine.logit(slot)) == key; }
};

// The largest word down to which measures add up to more than `target`; `target` loses what comes before it. `alike` is the sum at the
// word itself.
template <class By>
DEVICE u32 find(const Mine& mine, const By& by, u64& target, u64& alike, const Sums& sums) {
    u32 found = 0;
    for (u32 shift = 32; shift > 0;) {
        shift -= 4;
        u64 own[WAYS];
        UNROLL for (u32 way = 0; way < WAYS; way++) own[way] = 0;
        for (u32 slot = 0; slot < mine.count; slot++) {
            u32 word = by.word(mine, slot);
            if ((u64)word >> (shift + 4) != found) continue;
            u32 digit = word >> shift & (WAYS - 1);
            u64 measure = by.measure(mine, slot);
            UNROLL for (u32 way = 0; way < WAYS; way++) own[way] += way == digit ? measure : 0;
        }
        add_up(own, sums);
        u32 digit = WAYS - 1;
        while (digit > 0 && sums.totals[digit] <= target) target -= sums.totals[digit--];
        alike = sums.totals[digit];
        found = found << 4 | digit;
    }
    return found;
}

// A place in the order of tokens: after those of a logit up to an id, or after all of that logit.
struct Cut {
    u32 key, last;
    DEVICE_MEMBER bool ends_with(float logit, u32 id) const {
        return key_of(logit) == key && (last == NO_TOKEN || id == last);
    }
    DEVICE_MEMBER bool keeps(float logit, u32 id) const {
        u32 other = key_of(logit);
        return other > key || (other == key && id <= last);
    }
};

// Behind the first token with which counts, or weights, add up to more than `target`.
DEVICE Cut cut_at(const Mine& mine, bool weighs, u64 target, const Sums& sums) {
    u64 alike = 0;
    u32 key = find(mine, ByLogit{weighs}, target, alike, sums);
    Cut cut = {key, NO_TOKEN};
    // Tokens of one logit weigh the same.
    u64 each = weighs ? weight(logit_of(key), mine.most) : 1;
    if (alike > each) {
        target /= each;
        cut.last = ~find(mine, ById{key}, target, alike, sums);
    }
    return cut;
}

DEVICE void keep(Mine& mine, const Cut& cut) {
    u32 count = mine.count;
    mine.count = 0;
    for (u32 slot = 0; slot < count; slot++) {
        float logit = mine.logit(slot);
        u32 id = mine.id(slot);
        if (cut.keeps(logit, id)) mine.put(logit, id);
    }
}

// Drops what weighs less than so many millionths of the heaviest.
DEVICE void keep_heavy(Mine& mine, u32 ppm, u64 heaviest) {
    u32 count = mine.count;
    mine.count = 0;
    for (u32 slot = 0; slot < count; slot++) {
        float logit = mine.logit(slot);
        u32 id = mine.id(slot);
        if (weight(logit, mine.most) * PPM >= ppm * heaviest) mine.put(logit, id);
    }
}

// Top-k, top-p, min-p and the draw among tokens that have a weight.
DEVICE void draw(const Choice& how, Mine& mine, u32* chosen, const Sums& sums) {
    if (how.top_k > 0 && over_block<false>(mine.count, sums) > how.top_k) {
        keep(mine, cut_at(mine, false, how.top_k - 1, sums));
    }
    u64 heaviest = 0;
    for (u32 slot = 0; slot < mine.count; slot++) {
        u64 other = mine.weigh(slot);
        heaviest = other > heaviest ? other : heaviest;
    }
    heaviest = over_block<true>(heaviest, sums);
    if (how.top_p < PPM) {
        u64 needed = (how.top_p * over_block<false>(mine.weigh(), sums) + PPM - 1) / PPM;
        keep(mine, cut_at(mine, true, needed > 0 ? needed - 1 : 0, sums));
    }
    if (how.min_p > 0) keep_heavy(mine, how.min_p, heaviest);
    u64 bits = (u64)how.draw_high << 32 | how.draw_low;
    Cut cut = cut_at(mine, true, high_product(bits, over_block<false>(mine.weigh(), sums)), sums);
    for (u32 slot = 0; slot < mine.count; slot++) {
        u32 id = mine.id(slot);
        if (cut.ends_with(mine.logit(slot), id)) *chosen = id;
    }
}

KERNEL(choose_tokens, ChooseParams, CHOOSE_THREADS) {
    SHARED(u64, parts, CHOOSE_WARPS * WAYS);
    SHARED(u64, totals, WAYS);
    if (blockIdx.x >= at<u32>(p.header)[CHOICES]) return;
    const Choice& how = at<Choice>(p.choices)[blockIdx.x];
    float* logits = at_mut<float>(p.logits) + (u64)how.wanted * p.vocab;
    u32* ids = at_mut<u32>(p.ids) + (u64)blockIdx.x * p.vocab;
    u32* chosen = at_mut<u32>(p.chosen) + blockIdx.x;
    Sums sums = {parts, totals};
    bool greedy = how.temperature == 0.0f;
    // The first in order; what is not a number comes before all, and leaves no choice.
    u64 best = 0;
    for (u32 id = threadIdx.x; id < p.vocab; id += CHOOSE_THREADS) {
        float logit = logits[id];
        if (!greedy) logits[id] = logit = div_rn(logit, how.temperature);
        u64 place = logit == logit ? (u64)key_of(logit) << 32 | (u32)~id : ~0ull;
        best = place > best ? place : best;
    }
    best = over_block<true>(best, sums);
    u32 key = (u32)(best >> 32);
    bool none = key <= MINUS_INFINITY || key >= PLUS_INFINITY;
    if (none || greedy) {
        if (threadIdx.x == 0) *chosen = none ? NO_TOKEN : ~(u32)best;
        return;
    }
    // Until there is one; barriers lie between.
    if (threadIdx.x == 0) *chosen = NO_TOKEN;
    Mine mine = {logits + threadIdx.x, ids + threadIdx.x, 0, logit_of(key)};
    for (u32 id = threadIdx.x; id < p.vocab; id += CHOOSE_THREADS) {
        float logit = logits[id];
        if (weight(logit, mine.most) > 0) mine.put(logit, id);
    }
    draw(how, mine, chosen, sums);
}
