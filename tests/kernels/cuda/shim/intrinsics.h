// CUDA's built-in types and the functions of one thread. No header of the C or C++ library is included, since
// <cmath> alone would double the time that a kernel takes to compile.
#pragma once
#include <stdint.h>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

#define LEXICELL_VECTOR2(T, name)               \
  struct alignas(2 * sizeof(T)) name {          \
    T x, y;                                     \
  };                                            \
  inline name make_##name(T x, T y) { return {x, y}; }
#define LEXICELL_VECTOR4(T, name)                                                   \
  struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name {                    \
    T x, y, z, w;                                                                   \
  };                                                                                \
  inline name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }
LEXICELL_VECTOR2(int, int2)
LEXICELL_VECTOR2(unsigned, uint2)
LEXICELL_VECTOR2(float, float2)
LEXICELL_VECTOR2(double, double2)
LEXICELL_VECTOR2(unsigned short, ushort2)
LEXICELL_VECTOR2(unsigned long long, ulonglong2)
LEXICELL_VECTOR4(int, int4)
LEXICELL_VECTOR4(unsigned, uint4)
LEXICELL_VECTOR4(float, float4)
LEXICELL_VECTOR4(unsigned short, ushort4)
LEXICELL_VECTOR4(unsigned char, uchar4)
#undef LEXICELL_VECTOR2
#undef LEXICELL_VECTOR4

// ---- bits ------------------------------------------------------------------------------------------------

#define LEXICELL_REINTERPRET(name, From, To)    \
  inline To name(From x) {                      \
    To y;                                       \
    static_assert(sizeof x == sizeof y, #name); \
    __builtin_memcpy(&y, &x, sizeof y);         \
    return y;                                   \
  }
LEXICELL_REINTERPRET(__float_as_uint, float, unsigned)
LEXICELL_REINTERPRET(__float_as_int, float, int)
LEXICELL_REINTERPRET(__uint_as_float, unsigned, float)
LEXICELL_REINTERPRET(__int_as_float, int, float)
LEXICELL_REINTERPRET(__double_as_longlong, double, long long)
LEXICELL_REINTERPRET(__longlong_as_double, long long, double)
#undef LEXICELL_REINTERPRET

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  return by &= 31, by ? high << by | low >> (32 - by) : high;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  return by &= 31, by ? high << (32 - by) | low >> by : low;
}

// ---- memory ----------------------------------------------------------------------------------------------

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> T __ldcg(const T* p) { return *p; }
template <class T> T __ldca(const T* p) { return *p; }
template <class T> void __stcs(T* p, T value) { *p = value; }
template <class T> void __stcg(T* p, T value) { *p = value; }

#define LEXICELL_ATOMIC(name, T, expression) \
  inline T name(T* p, T v) {                 \
    const T old = *p;                        \
    *p = expression;                         \
    return old;                              \
  }
#define LEXICELL_ATOMICS(T)                        \
  LEXICELL_ATOMIC(atomicMin, T, v < old ? v : old) \
  LEXICELL_ATOMIC(atomicMax, T, v > old ? v : old) \
  LEXICELL_ATOMIC(atomicExch, T, v)                \
  LEXICELL_ATOMIC(atomicOr, T, old | v)            \
  LEXICELL_ATOMIC(atomicAnd, T, old & v)           \
  LEXICELL_ATOMIC(atomicXor, T, old ^ v)           \
  inline T atomicCAS(T* p, T compare, T v) {       \
    const T old = *p;                              \
    if (old == compare) *p = v;                    \
    return old;                                    \
  }
LEXICELL_ATOMICS(int)
LEXICELL_ATOMICS(unsigned)
LEXICELL_ATOMICS(unsigned long long)
LEXICELL_ATOMIC(atomicAdd, int, int(unsigned(old) + unsigned(v)))
LEXICELL_ATOMIC(atomicAdd, unsigned, old + v)
LEXICELL_ATOMIC(atomicAdd, unsigned long long, old + v)
LEXICELL_ATOMIC(atomicAdd, float, old + v)
LEXICELL_ATOMIC(atomicAdd, double, old + v)
LEXICELL_ATOMIC(atomicSub, int, int(unsigned(old) - unsigned(v)))
LEXICELL_ATOMIC(atomicSub, unsigned, old - v)
#undef LEXICELL_ATOMICS
#undef LEXICELL_ATOMIC

// ---- arithmetic ------------------------------------------------------------------------------------------

extern "C" {
float sqrtf(float) noexcept;
float log1pf(float) noexcept;
float logf(float) noexcept;
float log2f(float) noexcept;
float expf(float) noexcept;
float exp2f(float) noexcept;
float powf(float, float) noexcept;
float floorf(float) noexcept;
float ceilf(float) noexcept;
float truncf(float) noexcept;
float rintf(float) noexcept;
float fabsf(float) noexcept;
float fmaf(float, float, float) noexcept;
float fmaxf(float, float) noexcept;
float fminf(float, float) noexcept;
float ldexpf(float, int) noexcept;
double sqrt(double) noexcept;
double log1p(double) noexcept;
double log(double) noexcept;
double floor(double) noexcept;
double ceil(double) noexcept;
double trunc(double) noexcept;
double rint(double) noexcept;
double fabs(double) noexcept;
double fma(double, double, double) noexcept;
double fmax(double, double) noexcept;
double fmin(double, double) noexcept;
double ldexp(double, int) noexcept;
double scalbn(double, int) noexcept;
double frexp(double, int*) noexcept;
float frexpf(float, int*) noexcept;
int ilogb(double) noexcept;
int ilogbf(float) noexcept;
}
inline float sqrt(float x) { return sqrtf(x); }
inline float log1p(float x) { return log1pf(x); }
inline float fabs(float x) { return fabsf(x); }
inline float floor(float x) { return floorf(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }
inline bool isnan(double x) { return __builtin_isnan(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline double rsqrt(double x) { return 1. / sqrt(x); }
inline float __frsqrt_rn(float x) { return 1.f / sqrtf(x); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1.f / x; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }

// Conversions saturate and take NaN to 0.
template <class T> constexpr bool lexicell_signed = T(-1) < T(0);
template <class T>
constexpr T lexicell_most = T(~T(0) ^ (lexicell_signed<T> ? T(1ull << (8 * sizeof(T) - 1)) : T(0)));
template <class T> T lexicell_saturate(double x) {
  constexpr T most = lexicell_most<T>, least = lexicell_signed<T> ? T(-most - 1) : T(0);
  return x != x ? T(0) : x <= double(least) ? least : x >= double(most) ? most : T(x);
}
inline unsigned __float2uint_rz(float x) { return lexicell_saturate<unsigned>(x); }
inline unsigned __float2uint_rn(float x) { return lexicell_saturate<unsigned>(rintf(x)); }
inline int __float2int_rz(float x) { return lexicell_saturate<int>(x); }
inline int __float2int_rn(float x) { return lexicell_saturate<int>(rintf(x)); }
inline unsigned long long __float2ull_rz(float x) { return lexicell_saturate<unsigned long long>(x); }
inline unsigned long long __double2ull_rz(double x) { return lexicell_saturate<unsigned long long>(x); }
inline unsigned long long __double2ull_rn(double x) { return lexicell_saturate<unsigned long long>(rint(x)); }
inline long long __double2ll_rz(double x) { return lexicell_saturate<long long>(x); }
inline long long __double2ll_rn(double x) { return lexicell_saturate<long long>(rint(x)); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __int2float_rn(int x) { return float(x); }
inline float __ull2float_rn(unsigned long long x) { return float(x); }
inline double __ull2double_rn(unsigned long long x) { return double(x); }
inline double __ll2double_rn(long long x) { return double(x); }
inline float __double2float_rn(double x) { return float(x); }

#define LEXICELL_EXTREMES(T)                          \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
LEXICELL_EXTREMES(int)
LEXICELL_EXTREMES(unsigned)
LEXICELL_EXTREMES(long)
LEXICELL_EXTREMES(unsigned long)
LEXICELL_EXTREMES(long long)
LEXICELL_EXTREMES(unsigned long long)
#undef LEXICELL_EXTREMES
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
