// Sections 4 and 5: rows of weights against quantised vectors, on the tensor cores, in the profile's order.
//
// Sixteen rows make a tile. A product of 16 × 32 weights with 32 × 8 activations is one exact i32 product of a block; each lane
// then holds four of the 128 results and goes on along K by itself, so nothing is ever summed across lanes:
//
//   codes   [tile][block][lane][words]   lane = row % 8 · 4 + k % 16 / 4; a word is four values along k
//           bytes:   words: row, row + 8 at k < 16; row, row + 8 at k ≥ 16
//           nibbles: words: row, row + 8; low nibbles are k < 16, high ones k ≥ 16
//           narrow:  words: row, row + 8 at k < 16; the rest of the only block is zero and not stored
//   scales  [tile][segment][row][8]      f16, bf16 or f32; minima and Q6_K's inner scales likewise
#pragma once
#include "jobs.cuh"
#include "profile.cuh"

// Blocks of a segment.
enum : u32 { SEGMENT = 8 };

template <u32 L>
struct Form {
    static constexpr bool nibbles = L == FOUR || L == FOUR_MIN || L == FOUR_WIDE;
    static constexpr bool narrow = L == NARROW;
    static constexpr bool minimum = L == FOUR_MIN || L == FOUR_WIDE || L == BYTE_WIDE;
    static constexpr bool wide = L == FOUR_WIDE || L == BYTE_WIDE;
    static constexpr bool brain = L == FLOAT || L == NARROW;
    static constexpr bool halves = L == SIX;
    static constexpr u32 words = nibbles || narrow ? 2 : 4;
};

// The scales of one row over a segment.
template <u32 L>
struct Scales {
    Words4 w[Form<L>::wide ? 2 : 1];

    DEVICE_MEMBER void load(u64 base, u32 row) {
        UNROLL for (u32 i = 0; i < (Form<L>::wide ? 2 : 1); i++) {
            w[i] = at<Words4>(base)[row * (Form<L>::wide ? 2 : 1) + i];
        }
    }
    DEVICE_MEMBER float get(u32 b) const {
        if (Form<L>::wide) return of_bits(w[b / 4 % (Form<L>::wide ? 2 : 1)].w[b % 4]);
        u16 half = (u16)(w[0].w[b / 2] >> (b % 2 * 16));
        return Form<L>::brain ? of_bits((u32)half << 16) : of_half(half);
    }
};

// Four nibbles as signed bytes.
template <u32 L>
DEVICE u32 unpack(u32 word, u32 shift) {
    u32 codes = word >> shift & 0x0f0f0f0fu;
    return L == FOUR ? ((codes | 0x80808080u) - 0x08080808u) ^ 0x80808080u : codes;
}

template <u32 L>
DEVICE void weights(u32 (&a)[4], const u32* w) {
    if (Form<L>::nibbles) {
        a[0] = unpack<L>(w[0], 0), a[1] = unpack<L>(w[1], 0);
        a[2] = unpack<L>(w[0], 4), a[3] = unpack<L>(w[1], 4);
    } else {
        a[0] = w[0], a[1] = w[1];
        a[2] = Form<L>::narrow ? 0 : w[2 % Form<L>::words], a[3] = Form<L>::narrow ? 0 : w[3 % Form<L>::words];
    }
}

// Vectors that a tile is multiplied with, N times eight: for each lane, the one whose codes it takes and the two whose
// results it keeps.
template <u32 N>
struct Vectors {
    const i8* codes[N];
    const float* scales[N][2];
    const float* weighted[N][2];
};

// Segment `s` of a tile: acc, from +0, blocks ascending. The vectors' part of it lies at segment `xs` of theirs.
template <u32 L, u32 N>
DEVICE void segment(const Matrix& m, u32 tile, u32 s, u32 lane, const Vectors<N>& x, u32 xs, float (&acc)[N][4]) {
    constexpr u32 W = Form<L>::words;
    u32 segments = (m.blocks + SEGMENT - 1) / SEGMENT, blocks = smaller(SEGMENT, m.blocks - s * SEGMENT), row = lane / 4;
    const u32* codes = at<u32>(m.codes) + (((u64)tile * m.blocks + s * SEGMENT) * 32 + lane) * W;
    u32 w[SEGMENT][W];
    UNROLL for (u32 b = 0; b < SEGMENT; b++) {
        if (b >= blocks) continue;
        if (W == 2) {
            Words2 v = *reinterpret_cast<const Words2*>(codes + b * 32 * W);
            w[b][0] = v.w[0], w[b][1] = v.w[1];
        } else {
            Words4 v = *reinterpret_cast<const Words4*>(codes + b * 32 * W);
            UNROLL for (u32 i = 0; i < W; i++) w[b][i] = v.w[i % 4];
        }
    }
    u64 first = ((u64)tile * segments + s) * TILE;
    Scales<L> d[2], minimum[2];
    Words4 inner[2];
    UNROLL for (u32 h = 0; h < 2; h++) {
        u64 bytes = Form<L>::wide ? 32 : 16;
        d[h].load(m.scales + first * bytes, row + h * 8);
        if (Form<L>::minimum) minimum[h].load(m.mins + first * bytes, row + h * 8);
        if (Form<L>::halves) inner[h] = at<Words4>(m.halves)[first + row + h * 8];
    }
    UNROLL for (u32 n = 0; n < N; n++) {
        UNROLL for (u32 i = 0; i < 4; i++) acc[n][i] = 0.0f;
    }
    UNROLL for (u32 pair = 0; pair < SEGMENT / 2; pair++) {
        if (pair * 2 >= blocks) continue;
        UNROLL for (u32 n = 0; n < N; n++) {
            Words4 codes = *reinterpret_cast<const Words4*>(x.codes[n] + xs * 256 + pair * 64 + lane % 4 * 16);
            Floats2 scale[2], weighted[2];
            UNROLL for (u32 c = 0; c < 2; c++) {
                scale[c] = *reinterpret_cast<const Floats2*>(x.scales[n][c] + xs * SEGMENT + pair * 2);
                if (Form<L>::minimum) {
                    weighted[c] = *reinterpret_cast<const Floats2*>(x.weighted[n][c] + xs * SEGMENT + pair * 2);
                }
            }
            UNROLL for (u32 j = 0; j < 2; j++) {
                u32 b = pair * 2 + j;
                if (b >= blocks) continue;
                u32 a[4];
                weights<L>(a, w[b]);
                int dot[4];
                if (Form<L>::halves) {
                    int low[4], high[4];
                    mma_s8_16(low, a[0], a[1], codes.w[j * 2]);
                    mma_s8_16(high, a[2], a[3], codes.w[j * 2 + 1]);
                    UNROLL for (u32 i = 0; i < 4; i++) {
                        u32 scales = inner[i / 2].w[b / 2] >> (b % 2 * 16);
                        dot[i] = low[i] * (int)(i8)scales + high[i] * (int)(i8)(scales >> 8);
                    }
                } else if (Form<L>::narrow) {
                    mma_s8_16(dot, a[0], a[1], codes.w[j * 2]);
                } else {
                    mma_s8_32(dot, a, codes.w[j * 2], codes.w[j * 2 + 1]);
                }
                UNROLL for (u32 i = 0; i < 4; i++) {
                    float ds = mul_rn(d[i / 2].get(b), scale[i % 2].f[j]);
                    acc[n][i] = fma_rn(ds, from_int(dot[i]), acc[n][i]);
                    if (Form<L>::minimum) {
                        acc[n][i] = fma_rn(minimum[i / 2].get(b), weighted[i % 2].f[j], acc[n][i]);
                    }
                }
            }
        }
    }
}

template <u32 N>
DEVICE void any_segment(const Matrix& m, u32 tile, u32 s, u32 lane, const Vectors<N>& x, u32 xs, float (&acc)[N][4]) {
    switch (m.layout) {
        case FOUR: return segment<FOUR, N>(m, tile, s, lane, x, xs, acc);
        case FOUR_MIN: return segment<FOUR_MIN, N>(m, tile, s, lane, x, xs, acc);
        case FOUR_WIDE: return segment<FOUR_WIDE, N>(m, tile, s, lane, x, xs, acc);
        case BYTE: return segment<BYTE, N>(m, tile, s, lane, x, xs, acc);
        case BYTE_WIDE: return segment<BYTE_WIDE, N>(m, tile, s, lane, x, xs, acc);
        case SIX: return segment<SIX, N>(m, tile, s, lane, x, xs, acc);
        case FLOAT: return segment<FLOAT, N>(m, tile, s, lane, x, xs, acc);
        default: return segment<NARROW, N>(m, tile, s, lane, x, xs, acc);
    }
}
