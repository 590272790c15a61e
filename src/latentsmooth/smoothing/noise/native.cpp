// Keyed Gaussian noise on the processor: definition.py says what, this file how, to the same bits.
//
// A group is 64 elements, from the 4 output words of 16 counter blocks. Blocks run along the lanes
// of vectors, LANES at a time, so that every store is contiguous. Compiled without contraction of
// a * b + c: every product and every sum is rounded by itself.

#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the lanes of 64-bit words are laid out for little-endian processors"
#endif

#if defined(LATENTSMOOTH_GENERIC)
#define LANES 4
#elif defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#else
#define LANES 4
#endif
#define MEMBER inline __attribute__((always_inline))
#define INLINE static MEMBER

namespace {

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Signed __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint64_t Wide __attribute__((vector_size(4 * LANES)));  // half as many lanes, of 64 bits
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

constexpr int64_t GROUP = 64;
constexpr int64_t BLOCKS = GROUP / 4;
constexpr int64_t PIECE = 128 * GROUP;  // elements a thread takes at once
constexpr int ROUNDS = 10;
constexpr uint32_t MULTIPLIERS[2] = {0xD2511F53u, 0xCD9E8D57u};
constexpr uint32_t WEYL[2] = {0x9E3779B9u, 0xBB67AE85u};

// ------------------------------------------------ operations that differ between processors

// Product of the low 32 bits of every lane; whatever stands above them is ignored.
INLINE Wide multiply_low(Wide a, uint32_t factor) {
#if LANES == 16
    return (Wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(factor));
#elif LANES == 8
    return (Wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(factor));
#else
    return (a & 0xFFFFFFFFu) * (uint64_t)factor;
#endif
}

INLINE Floats square_root(Floats a) {
#if LANES == 16
    return (Floats)_mm512_sqrt_ps((__m512)a);
#elif LANES == 8
    return (Floats)_mm256_sqrt_ps((__m256)a);
#else
    for (int lane = 0; lane < LANES; ++lane) a[lane] = __builtin_sqrtf(a[lane]);
    return a;
#endif
}

// ------------------------------------------------ what a row needs to know

// The first two rounds change only in the block, which reaches half of the words: what the rest
// comes to is computed once a row, as are the keys, in full vectors that rounds read from memory.
struct Row {
    Wide key[ROUNDS][2];
    Wide second[3];  // what words 0, 2 and 3 of round two are made with
};

INLINE Wide everywhere(uint32_t a) { return Wide{} + (uint64_t)a; }

void make_row(const int64_t* plan, Row& row) {
    uint32_t low = (uint32_t)plan[1], high = (uint32_t)((uint64_t)plan[1] >> 32);
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        row.key[round][0] = everywhere(low + round * WEYL[0]);
        row.key[round][1] = everywhere(high + round * WEYL[1]);
    }
    const uint64_t phase = (uint64_t)(uint32_t)plan[2] * MULTIPLIERS[1];
    const uint32_t first = (uint32_t)(phase >> 32) ^ (uint32_t)plan[3] ^ low;
    const uint64_t second = (uint64_t)first * MULTIPLIERS[0];
    row.second[0] = row.key[1][0] ^ everywhere((uint32_t)phase);
    row.second[1] = row.key[1][1] ^ everywhere((uint32_t)(second >> 32));
    row.second[2] = everywhere((uint32_t)second);
}

// ------------------------------------------------ Philox4x32-10

// Words of 32 bits in lanes of 64, whose upper halves are leftovers.
struct State {
    Wide word[4];
};

INLINE State two_rounds(const Row& row, Wide block) {
    Wide p0 = multiply_low(block, MULTIPLIERS[0]);
    Wide p1 = multiply_low((p0 >> 32) ^ row.key[0][1], MULTIPLIERS[1]);
    return {{(p1 >> 32) ^ row.second[0], p1, p0 ^ row.second[1], row.second[2]}};
}

INLINE void one_round(State& s, const Wide* key) {
    Wide p0 = multiply_low(s.word[0], MULTIPLIERS[0]);
    Wide p1 = multiply_low(s.word[2], MULTIPLIERS[1]);
    s = {{(p1 >> 32) ^ s.word[1] ^ key[0], p1, (p0 >> 32) ^ s.word[3] ^ key[1], p0}};
}

// The 4 output words of LANES blocks from `block` on.
INLINE void philox(const Row& row, uint64_t block, Words* out) {
    Wide even;
    for (int lane = 0; lane < LANES / 2; ++lane) even[lane] = 2 * lane;
    even += block;
    State a = two_rounds(row, even), b = two_rounds(row, even + 1);
    for (int round = 2; round < ROUNDS; ++round) {
        one_round(a, row.key[round]);
        one_round(b, row.key[round]);
    }
    for (int w = 0; w < 4; ++w)
        out[w] = (Words)((a.word[w] & 0xFFFFFFFFu) | (b.word[w] << 32));
}

// ------------------------------------------------ Box-Muller

INLINE Floats convert(Signed a) { return __builtin_convertvector(a, Floats); }

INLINE void normals(Words radius_word, Words angle_word, Floats* out) {
    const int32_t two_thirds = 0x3F2AAAAB;
    Signed position = (Signed)radius_word;
    Floats below = (convert(position) + 0.5f) * 0x1p-32f;
    Floats uniform = position < 0 ? below + 1.0f : below;
    Signed t = (Signed)uniform - two_thirds;
    Signed shift = t >> 23;
    Floats exponent = convert(shift);
    Floats f = (Floats)((t & 0x7FFFFF) + two_thirds) - 1.0f;
    f = shift == 0 ? below : f;
    Floats g = f * f;
    Floats even = g * -0x1.1f242ap-2f + -0x1.1ea94ep-2f;
    Floats odd = g * 0x1.3b0e5cp-2f + 0x1.503884p-2f;
    even = even * g + -0x1.99d3a8p-2f;
    odd = odd * g + 0x1.001450p-1f;
    even = even * g + -0x1.5554fcp-1f;
    odd = odd * g + 0x1.ffffd6p-1f;
    even = even * g + -2.0f;
    Floats series = even + odd * f;
    Floats radius = square_root(exponent * -0x1.62e430p+0f + series * f);

    Floats y = convert((Signed)(angle_word << 2) | 2) * 0x1p-31f;
    Floats z = y * y;
    Floats cosine = z * -0x1.4eb112p-12f + 0x1.03b18ep-6f;
    Floats sine = z * -0x1.3375fep-15f + 0x1.468282p-9f;
    cosine = cosine * z + -0x1.3bd3a2p-2f;
    sine = sine * z + -0x1.4abc28p-4f;
    cosine = cosine * z + 1.0f;
    sine = sine * z + 0x1.921fb6p-1f;
    sine = sine * y;
    cosine = (Floats)((Words)cosine ^ (angle_word & 0x80000000u));
    Signed swapped = (Signed)(angle_word & 0x40000000u) != 0;
    out[0] = (swapped ? sine : cosine) * radius;
    out[1] = (swapped ? cosine : sine) * radius;
}

// ------------------------------------------------ rounding to what is stored

struct ToFloat32 {
    typedef float Element;
    typedef Floats Packed;
    INLINE Packed round(Floats a) { return a; }
};

struct ToBfloat16 {
    typedef uint16_t Element;
    typedef Halves Packed;
    INLINE Packed round(Floats a) {
        Words bits = (Words)a;
        Words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
        Words nan = (Words)(Signed)(a != a);
        return __builtin_convertvector((nan & 0x7FC0u) | (~nan & rounded), Halves);
    }
};

struct ToFloat16 {
    typedef uint16_t Element;
    typedef Halves Packed;
    INLINE Packed round(Floats a) {
#if LANES == 16
        return (Packed)_mm512_cvtps_ph((__m512)a, _MM_FROUND_TO_NEAREST_INT);
#elif LANES == 8 && defined(__F16C__)
        return (Packed)_mm256_cvtps_ph((__m256)a, _MM_FROUND_TO_NEAREST_INT);
#else
        // Adding a power of two puts the last bit kept at the last bit of the sum, which is
        // rounded to nearest even; below 2^-14 the last bit kept is worth 2^-24.
        Words sign = ((Words)a >> 16) & 0x8000u, size = (Words)a & 0x7FFFFFFFu;
        Words power = (size & 0x7F800000u);
        power = (power < 0x38800000u) ? (power ^ power) + 0x38800000u : power;
        Floats magnet = (Floats)(power + (13u << 23));
        Words kept = (Words)((Floats)size + magnet) - (Words)magnet;
        Words bits = ((power - 0x38800000u) >> 13) + kept;
        // From 65520 on, what is nearest is infinity.
        bits = (size >= 0x477FF000u) ? (power ^ power) + 0x7C00u : bits;
        bits = (size > 0x7F800000u) ? (power ^ power) + 0x7E00u : bits;
        return __builtin_convertvector(bits | sign, Halves);
#endif
    }
};

// Words 0 to 3 of the group, rounded, each to where its elements are.
template <class To>
INLINE void store(const Floats* noisy, typename To::Element* out) {
    for (int w = 0; w < 4; ++w) {
        typename To::Packed packed = To::round(noisy[w]);
        std::memcpy(out + w * BLOCKS, &packed, sizeof packed);
    }
}

#if LANES == 16 && defined(__AVX512BF16__) && defined(__AVX512DQ__)
// The processor's own rounding takes numbers below 2^-126 for zero: those go the long way round.
template <>
inline __attribute__((always_inline)) void store<ToBfloat16>(const Floats* noisy, uint16_t* out) {
    const int subnormal = 0x20;
    int found = 0;
    for (int w = 0; w < 4; ++w) found |= _mm512_fpclass_ps_mask((__m512)noisy[w], subnormal);
    for (int w = 0; w < 4; w += 2) {
        auto packed = _mm512_cvtne2ps_pbh((__m512)noisy[w + 1], (__m512)noisy[w]);
        std::memcpy(out + w * BLOCKS, &packed, sizeof packed);
    }
    if (__builtin_expect(found, 0))
        for (int w = 0; w < 4; ++w) {
            Halves packed = ToBfloat16::round(noisy[w]);
            std::memcpy(out + w * BLOCKS, &packed, sizeof packed);
        }
}
#endif

// ------------------------------------------------ rows

// What is added to a latent: both samplers fill the group's words 0 to 3 of LANES columns.

// Normals times sigma, rounded to the lattice: a sum with the magnet has a last bit worth one step.
struct Fast {
    float sigma, magnet;
    MEMBER void draw(const Row& row, int64_t group, int64_t lane, Floats* noise) const {
        Words words[4];
        philox(row, (uint64_t)(group * BLOCKS + lane), words);
        normals(words[0], words[1], noise);
        normals(words[2], words[3], noise + 2);
        for (int w = 0; w < 4; ++w) {
            Floats scaled = noise[w] * sigma + magnet;
            noise[w] = scaled - magnet;
        }
    }
};

constexpr int GUIDE = 17;  // bits of a number that the guide is entered by
constexpr int FEW = 4;     // candidates that are counted rather than searched

// Steps of the lattice by inversion: `guide` says between which thresholds to look.
struct Exact {
    float step;
    const int64_t* thresholds;
    const int32_t* guide;
    MEMBER int32_t size(uint64_t number) const {
        const int64_t below = (int64_t)(number & 0x7FFFFFFFFFFFFFFFu);
        int32_t low = guide[below >> (63 - GUIDE)], high = guide[(below >> (63 - GUIDE)) + 1];
        while (high - low > FEW) {
            const int32_t middle = low + (high - low) / 2;
            const bool beyond = thresholds[middle] <= below;
            low = beyond ? middle + 1 : low;
            high = beyond ? high : middle;
        }
        int32_t found = low;
        for (int32_t i = low; i < high; ++i) found += thresholds[i] <= below;
        return found;
    }
    MEMBER void draw(const Row& row, int64_t group, int64_t lane, Floats* noise) const {
        for (int half = 0; half < 2; ++half) {
            Words words[4];
            philox(row, (uint64_t)((2 * group + half) * BLOCKS + lane), words);
            for (int h = 0; h < 2; ++h)
                for (int l = 0; l < LANES; ++l) {
                    const uint64_t number = (uint64_t)words[2 * h][l] << 32 | words[2 * h + 1][l];
                    const float steps = (float)size(number) * step;
                    noise[2 * half + h][l] = number >> 63 ? -steps : steps;
                }
        }
    }
};

// One group, all of it: `latent` and `out` point at its first element.
template <class Sampler, class To>
INLINE void fill_group(
    const Row& row, int64_t group, const float* latent, const Sampler& sampler,
    typename To::Element* out) {
    for (int64_t lane = 0; lane < BLOCKS; lane += LANES) {
        Floats noisy[4];
        sampler.draw(row, group, lane, noisy);
        for (int w = 0; w < 4; ++w) {
            Floats centre;
            std::memcpy(&centre, latent + w * BLOCKS + lane, sizeof centre);
            noisy[w] = centre + noisy[w];
        }
        store<To>(noisy, out + lane);
    }
}

template <class Sampler, class To>
void fill_piece(
    const Row& row, int64_t start, int64_t stop, const float* latent, const Sampler& sampler,
    typename To::Element* out) {
    int64_t at = start;
    for (; at + GROUP <= stop; at += GROUP)
        fill_group<Sampler, To>(row, at / GROUP, latent + at, sampler, out + at);
    if (at < stop) {
        float centre[GROUP] = {};
        typename To::Element last[GROUP];
        std::memcpy(centre, latent + at, sizeof(float) * (stop - at));
        fill_group<Sampler, To>(row, at / GROUP, centre, sampler, last);
        std::memcpy(out + at, last, sizeof(last[0]) * (stop - at));
    }
}

struct Job {
    void* out;
    const float* latents;
    const int64_t* plan;
    int64_t rows, size, pieces, grain;  // pieces of one row; (row, piece) items taken at once
    const void* sampler;
    std::atomic<int64_t> next;
};

template <class Sampler, class To>
void work(void* argument) {
    Job& job = *static_cast<Job*>(argument);
    const Sampler sampler = *static_cast<const Sampler*>(job.sampler);
    const int64_t items = job.rows * job.pieces;
    for (;;) {
        const int64_t first = job.next.fetch_add(job.grain);
        if (first >= items) return;
        const int64_t last = first + job.grain < items ? first + job.grain : items;
        for (int64_t item = first; item < last; ++item) {
            const int64_t r = item / job.pieces, start = item % job.pieces * PIECE;
            const int64_t stop = start + PIECE < job.size ? start + PIECE : job.size;
            const int64_t* plan = job.plan + 4 * r;
            auto out = static_cast<typename To::Element*>(job.out) + r * job.size;
            if (plan[0] < 0) {
                std::memset(out + start, 0, sizeof(out[0]) * (stop - start));
            } else {
                Row row;
                make_row(plan, row);
                const float* latent = job.latents + plan[0] * job.size;
                fill_piece<Sampler, To>(row, start, stop, latent, sampler, out);
            }
        }
    }
}

typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);

template <class Sampler>
int64_t fill(
    const Sampler& sampler, void* out, int32_t type, const float* latents, const int64_t* plan,
    int64_t rows, int64_t size, int64_t slots, int32_t threads, void* parallel) {
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t* row = plan + 4 * r;
        if (row[0] < -1 || row[0] >= slots) return r + 1;
        if (row[0] >= 0 && ((row[2] | row[3]) >> 32) != 0) return r + 1;
    }
    Job job;
    job.out = out;
    job.latents = latents;
    job.plan = plan;
    job.rows = rows;
    job.size = size;
    job.pieces = (size + PIECE - 1) / PIECE;
    job.grain = size > 0 && size < PIECE ? PIECE / size : 1;
    job.sampler = &sampler;
    job.next.store(0);
    void (*function)(void*) = type == 0   ? work<Sampler, ToFloat32>
                              : type == 1 ? work<Sampler, ToBfloat16>
                                          : work<Sampler, ToFloat16>;
    if (threads <= 1) {
        function(&job);
    } else if (parallel != nullptr) {
        reinterpret_cast<Parallel>(parallel)(function, &job, (unsigned)threads, 0);
    } else {
        std::vector<std::thread> others;
        try {
            for (int32_t i = 1; i < threads; ++i) others.emplace_back(function, &job);
        } catch (const std::exception&) {
            // Whoever there is does all the work.
        }
        function(&job);
        for (std::thread& other : others) other.join();
    }
    return 0;
}

}  // namespace

// Fill rows; returns 0, or the 1-based number of the first row of the plan that cannot be drawn.
// `parallel` is GOMP_parallel of the OpenMP library that the process already uses, or null.
extern "C" int64_t latentsmooth_fill(
    void* out, int32_t type, const float* latents, const int64_t* plan, int64_t rows, int64_t size,
    int64_t slots, int32_t threads, void* parallel, float sigma, float magnet) {
    const Fast sampler = {sigma, magnet};
    return fill(sampler, out, type, latents, plan, rows, size, slots, threads, parallel);
}

// The same of grade exact; `thresholds` and `guide` are those of inverse.py.
extern "C" int64_t latentsmooth_fill_exact(
    void* out, int32_t type, const float* latents, const int64_t* plan, int64_t rows, int64_t size,
    int64_t slots, int32_t threads, void* parallel, float step, const int64_t* thresholds,
    const int32_t* guide) {
    const Exact sampler = {step, thresholds, guide};
    return fill(sampler, out, type, latents, plan, rows, size, slots, threads, parallel);
}
