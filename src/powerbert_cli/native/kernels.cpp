// Attention over packed rows, which also scores and selects word-vectors; add and norm; activations.
//
// Plain functions, called by their address: they know nothing of PyTorch's binary interface and compile in seconds.
// Vectors are the compiler's own (GCC, Clang), as wide as the target has them: AVX2, AVX-512, NEON.
//
// T rows, n word-vectors of an input, k of them kept, H heads of size d, A = H * d.
#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif
constexpr int BLOCK = 2 * LANES; // columns of a micro-kernel
constexpr int ROWS = 6;          // its rows: with these all accumulators stay in registers

// PyTorch's threads, by GCC's entry points, which its OpenMP has whatever compiles this.
extern "C" void GOMP_parallel(void (*worker)(void *), void *work, unsigned threads, unsigned flags);
extern "C" int omp_get_max_threads();

// body(i) of 0 <= i < count by all threads, each of which takes so many at a time.
template <typename F> static void in_parallel(int64_t count, int64_t at_a_time, const F &body) {
  struct Work {
    const F &body;
    const int64_t count, at_a_time;
    std::atomic<int64_t> next{0};
  } work{body, count, at_a_time};
  auto worker = [](void *given) {
    Work &work = *static_cast<Work *>(given);
    for (int64_t begin; (begin = work.next.fetch_add(work.at_a_time)) < work.count;)
      for (int64_t i = begin; i < std::min(begin + work.at_a_time, work.count); i++)
        work.body(i);
  };
  if (count <= at_a_time || omp_get_max_threads() == 1)
    worker(&work);
  else
    GOMP_parallel(worker, &work, 0, 0);
}

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

static inline vec load(const float *p) { return *reinterpret_cast<const loose *>(p); }
static inline void store(float *p, vec x) { *reinterpret_cast<loose *>(p) = x; }
static inline vec all(float x) { return x - vec{}; }
static inline int padded(int n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }
static inline vec at_most(vec x, float y) { return x < y ? x : all(y); }
static inline vec at_least(vec x, float y) { return x > y ? x : all(y); }

static inline float sum_of(vec x) {
  float sum = 0;
  for (int i = 0; i < LANES; i++)
    sum += x[i];
  return sum;
}

static inline float max_of(vec x) {
  float most = x[0];
  for (int i = 1; i < LANES; i++)
    most = std::max(most, x[i]);
  return most;
}

// exp to 2 units in the last place: 2^n times a polynomial on |r| <= ln 2 / 2.
static inline vec exp_of(vec x) {
  x = at_least(at_most(x, 88.0f), -87.0f);
  const vec magic = all(12582912.0f); // adding it rounds to whole numbers
  vec shifted = x * 1.44269504f + magic;
  vec n = shifted - magic;
  vec r = x - n * 0.693359375f - n * -2.12194440e-4f;
  vec p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  ints power = ((ints)shifted - (ints)magic + 127) << 23;
  return p * (vec)power;
}

// Abramowitz and Stegun 7.1.26: within 1.5e-7.
static inline vec erf_of(vec x) {
  ints sign = (ints)x & INT32_MIN;
  vec a = (vec)((ints)x & INT32_MAX);
  vec t = 1.0f / (1.0f + 0.3275911f * a);
  vec p = all(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  vec y = 1.0f - p * t * exp_of(-a * a);
  return (vec)((ints)y | sign);
}

// Numbers in memory: float, bfloat16 as its bits, uint8 by a scale and a zero point.
typedef uint16_t half;

static inline float number(float x) { return x; }
static inline float number(half x) {
  uint32_t bits = uint32_t(x) << 16;
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
}

struct Scale {
  float inverse;
  float zero;
};

static inline void put(float *to, float x, Scale) { *to = x; }
static inline void put(half *to, float x, Scale) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  *to = half((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
static inline void put(uint8_t *to, float x, Scale scale) {
  *to = uint8_t(std::min(255.0f, std::max(0.0f, std::nearbyint(x * scale.inverse + scale.zero))));
}

typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef half halves __attribute__((vector_size(2 * LANES)));

static inline vec numbers(const float *p) { return load(p); }
static inline vec numbers(const half *p) {
  halves bits;
  std::memcpy(&bits, p, sizeof bits);
  return (vec)(__builtin_convertvector(bits, ints) << 16);
}

static inline void put(float *to, vec x, Scale) { store(to, x); }
static inline void put(half *to, vec x, Scale) {
  ints bits = (ints)x;
  halves rounded = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, halves);
  std::memcpy(to, &rounded, sizeof rounded);
}
static inline void put(uint8_t *to, vec x, Scale scale) {
  vec y = at_least(at_most(x * scale.inverse + scale.zero, 255.0f), 0.0f) + 12582912.0f;
  bytes rounded = __builtin_convertvector((ints)y & 255, bytes);
  std::memcpy(to, &rounded, sizeof rounded);
}

// C (rows, BLOCK) = A (rows, depth) B (depth, BLOCK); rows <= ROWS.
template <int rows>
static inline void product(const float *const *a, const float *b, int b_step, int depth, float *c, int c_step) {
  vec sum[rows][2] = {};
  for (int k = 0; k < depth; k++) {
    vec b0 = load(b + size_t(k) * b_step), b1 = load(b + size_t(k) * b_step + LANES);
    for (int r = 0; r < rows; r++) {
      sum[r][0] += a[r][k] * b0;
      sum[r][1] += a[r][k] * b1;
    }
  }
  for (int r = 0; r < rows; r++) {
    store(c + size_t(r) * c_step, sum[r][0]);
    store(c + size_t(r) * c_step + LANES, sum[r][1]);
  }
}

static inline void product(int rows, const float *const *a, const float *b, int b_step, int depth, float *c,
                           int c_step) {
  switch (rows) {
  case 1:
    return product<1>(a, b, b_step, depth, c, c_step);
  case 2:
    return product<2>(a, b, b_step, depth, c, c_step);
  case 3:
    return product<3>(a, b, b_step, depth, c, c_step);
  case 4:
    return product<4>(a, b, b_step, depth, c, c_step);
  case 5:
    return product<5>(a, b, b_step, depth, c, c_step);
  default:
    return product<6>(a, b, b_step, depth, c, c_step);
  }
}

// C (rows, width) = A (rows, depth) B (depth, width); the width is whole blocks, and the steps of B and C.
static inline void multiply(int rows, const float *a, size_t a_step, const float *b, int width, int depth, float *c) {
  for (int r = 0; r < rows; r += ROWS) {
    int count = std::min(ROWS, rows - r);
    const float *of[ROWS];
    for (int q = 0; q < count; q++)
      of[q] = a + (r + q) * a_step;
    for (int e = 0; e < width; e += BLOCK)
      product(count, of, b + e, width, depth, c + size_t(r) * width + e, width);
  }
}

// So many numbers, as they are in memory at `to`.
template <typename U> static inline void put_all(U *to, const float *from, int64_t count, Scale scale) {
  int64_t e = 0;
  for (; e + LANES <= count; e += LANES)
    put(to + e, load(from + e), scale);
  for (; e < count; e++)
    put(to + e, from[e], scale);
}

template <typename T> static inline void get_all(float *to, const T *from, int64_t count) {
  int64_t e = 0;
  for (; e + LANES <= count; e += LANES)
    store(to + e, numbers(from + e));
  for (; e < count; e++)
    to[e] = number(from[e]);
}

extern "C" {

// What attention is given. Pointers that are not needed are null.
struct Attention {
  const void *qkv;          // (T, 3, H, d)
  const int32_t *starts;    // (B + 1,), where each input's rows begin
  const int32_t *kept;      // (B + 1,), where each input's kept rows begin
  const int32_t *positions; // (T,), places in the input; for bias, window and rotation
  const uint8_t *shield;    // (T,), 1 for what is kept as long as there is room
  const float *priority;    // by position: ranks word-vectors in place of significance
  const float *bias;        // (H, 2 * span + 1), by the key's position minus the query's plus span
  const float *cos;         // (positions, d), rotation
  const float *sin;
  void *context; // (T', A)
  int32_t *rows; // (T',), which rows the kept ones are
  int32_t inputs, heads, size, span, window, protected_;
  int32_t first_only; // only the first word-vector of each input has a query
  int32_t diagonal;   // a word-vector's attention to itself counts in its significance
  float scale, inverse, zero;
};
}

namespace {

struct Buffers {
  std::vector<float> numbers;
  std::vector<int32_t> order;
  float *take(size_t count) {
    if (numbers.size() < count)
      numbers.resize(count);
    return numbers.data();
  }
};

thread_local Buffers own, shared;

// In place; also added to `sums`, where there are any.
static inline void softmax(float *row, int step, float *sums = nullptr) {
  vec most = load(row);
  for (int c = LANES; c < step; c += LANES) {
    vec x = load(row + c);
    most = x > most ? x : most;
  }
  float top = max_of(most);
  vec sum = {};
  for (int c = 0; c < step; c += LANES) {
    vec x = load(row + c) - top;
    vec y = x < -87.0f ? vec{} : exp_of(x);
    sum += y;
    store(row + c, y);
  }
  float inverse = 1.0f / sum_of(sum);
  for (int c = 0; c < step; c += LANES) {
    vec y = load(row + c) * inverse;
    store(row + c, y);
    if (sums)
      store(sums + c, load(sums + c) + y);
  }
}

template <typename T> class Attending {
public:
  Attending(const Attention &a) : a(a), A(a.heads * a.size), wide(padded(a.size)) {}

  int length(int i) const { return a.starts[i + 1] - a.starts[i]; }
  int keeps(int i) const { return a.kept[i + 1] - a.kept[i]; }
  bool beforehand(int i) const { return a.first_only || a.priority || keeps(i) == length(i); }

  // What one head packs: keys (d, n padded), values (n, d padded), queries (n, d).
  size_t packed(int n) const { return size_t(a.size) * padded(n) + size_t(n) * wide + size_t(n) * a.size; }
  size_t weights(int n) const { return size_t(n) * padded(n); }

  // Which word-vectors stay, ascending, by falling score and then by place.
  void select(int i, const float *scores, int32_t *order) const {
    int n = length(i), k = keeps(i), begin = a.starts[i];
    int32_t *rows = a.rows + a.kept[i];
    if (k < n && !a.first_only) {
      std::vector<float> ranked(n);
      for (int j = 0; j < n; j++) {
        float own = scores ? scores[j] : a.priority[a.positions[begin + j]];
        ranked[j] = j < a.protected_ ? INFINITY : a.shield && a.shield[begin + j] ? FLT_MAX : own;
        order[j] = j;
      }
      std::nth_element(order, order + k, order + n,
                       [&](int x, int y) { return ranked[x] > ranked[y] || (ranked[x] == ranked[y] && x < y); });
      std::sort(order, order + k);
    } else {
      for (int j = 0; j < k; j++)
        order[j] = j;
    }
    for (int j = 0; j < k; j++)
      rows[j] = begin + order[j];
  }

  // Rows of attention weights of one head for the queries at `at` (null: all), into w (count, n padded); of all
  // queries also their sums by key, added to `sums`.
  void weigh(int i, int h, const int32_t *at, int count, float *w, float *sums, float *buffer) const {
    int n = length(i), step = padded(n), d = a.size, begin = a.starts[i];
    float *keys = buffer, *queries = keys + size_t(d) * step;
    const T *qkv = static_cast<const T *>(a.qkv) + size_t(begin) * 3 * A + h * d;
    std::vector<float> turned(d);
    for (int j = 0; j < n; j++) {
      turn(qkv + size_t(j) * 3 * A + A, begin + j, turned.data());
      for (int e = 0; e < d; e++)
        keys[size_t(e) * step + j] = turned[e];
    }
    for (int e = 0; e < d; e++)
      std::fill(keys + size_t(e) * step + n, keys + size_t(e + 1) * step, 0.0f);
    for (int r = 0; r < count; r++) {
      float *query = queries + size_t(r) * d;
      int row = at ? at[r] : r;
      turn(qkv + size_t(row) * 3 * A, begin + row, query);
      for (int e = 0; e < d; e++)
        query[e] *= a.scale;
    }
    multiply(count, queries, d, keys, step, d, w);
    for (int r = 0; r < count; r++) {
      float *row = w + size_t(r) * step;
      int query = at ? at[r] : r;
      if (a.bias || a.window)
        place(row, begin, query, n, h);
      std::fill(row + n, row + step, -INFINITY);
      softmax(row, step, sums);
      if (sums && !a.diagonal)
        sums[query] -= row[query];
    }
  }

  // What the rows w (count, n padded) make of the values of one head, to the context's rows from `first` on. Row r of
  // the context comes from row at[r] of w (null: r).
  template <typename U>
  void mix(int i, int h, const int32_t *at, int count, const float *w, int first, float *buffer) const {
    int n = length(i), step = padded(n), d = a.size;
    float *values = buffer;
    const T *from = static_cast<const T *>(a.qkv) + size_t(a.starts[i]) * 3 * A + 2 * A + h * d;
    for (int j = 0; j < n; j++) {
      get_all(values + size_t(j) * wide, from + size_t(j) * 3 * A, d);
      std::fill(values + size_t(j) * wide + d, values + size_t(j + 1) * wide, 0.0f);
    }
    U *to = static_cast<U *>(a.context) + size_t(first) * A + h * d;
    Scale scale{a.inverse, a.zero};
    float block[ROWS * BLOCK];
    for (int r = 0; r < count; r += ROWS) {
      int rows = std::min(ROWS, count - r);
      const float *of[ROWS];
      for (int q = 0; q < rows; q++)
        of[q] = w + size_t(at ? at[r + q] : r + q) * step;
      for (int c = 0; c < wide; c += BLOCK) {
        product(rows, of, values + c, wide, n, block, BLOCK);
        for (int q = 0; q < rows; q++)
          put_all(to + size_t(r + q) * A + c, block + q * BLOCK, std::min(BLOCK, d - c), scale);
      }
    }
  }

  // One input by one thread.
  template <typename U> void one(int i) const {
    int n = length(i), k = keeps(i), step = padded(n);
    bool chosen = beforehand(i);
    size_t each = weights(n);
    float *buffer = own.take(packed(n) + step + (chosen ? each : each * a.heads));
    float *sums = buffer + packed(n), *w = sums + step;
    own.order.resize(n);
    int32_t *order = own.order.data();
    if (chosen) {
      select(i, nullptr, order);
      for (int h = 0; h < a.heads; h++) {
        weigh(i, h, order, k, w, nullptr, buffer);
        mix<U>(i, h, nullptr, k, w, a.kept[i], buffer);
      }
      return;
    }
    std::fill(sums, sums + step, 0.0f);
    for (int h = 0; h < a.heads; h++)
      weigh(i, h, nullptr, n, w + h * each, sums, buffer);
    select(i, sums, order);
    for (int h = 0; h < a.heads; h++)
      mix<U>(i, h, order, k, w + h * each, a.kept[i], buffer);
  }

  // One input by all threads, each with some of its heads.
  template <typename U> void together(int i) const {
    int n = length(i), k = keeps(i), step = padded(n);
    bool chosen = beforehand(i);
    size_t each = weights(n);
    float *all_sums = shared.take((each + step) * a.heads), *all_weights = all_sums + size_t(step) * a.heads;
    shared.order.resize(n);
    int32_t *order = shared.order.data();
    if (chosen)
      select(i, nullptr, order);
    else
      std::fill(all_sums, all_sums + size_t(step) * a.heads, 0.0f);
    in_parallel(a.heads, 1, [&](int h) {
      float *sums = chosen ? nullptr : all_sums + size_t(h) * step;
      weigh(i, h, chosen ? order : nullptr, chosen ? k : n, all_weights + h * each, sums, own.take(packed(n)));
    });
    if (!chosen) {
      for (int h = 1; h < a.heads; h++)
        for (int c = 0; c < step; c++)
          all_sums[c] += all_sums[size_t(h) * step + c];
      select(i, all_sums, order);
    }
    in_parallel(a.heads, 1, [&](int h) {
      mix<U>(i, h, chosen ? nullptr : order, k, all_weights + h * each, a.kept[i], own.take(packed(n)));
    });
  }

  template <typename U> void run() const {
    int threads = omp_get_max_threads();
    if (threads > 1 && a.inputs < 2 * threads) {
      for (int i = 0; i < a.inputs; i++)
        together<U>(i);
      return;
    }
    in_parallel(a.inputs, 1, [&](int i) { one<U>(i); });
  }

private:
  const Attention &a;
  const int A, wide;

  // A query or key as numbers, rotated where positions are.
  void turn(const T *from, int row, float *to) const {
    int d = a.size;
    if (!a.cos)
      return get_all(to, from, d);
    const float *cos = a.cos + size_t(a.positions[row]) * d, *sin = a.sin + size_t(a.positions[row]) * d;
    for (int e = 0; e < d / 2; e++) {
      float low = number(from[e]), high = number(from[e + d / 2]);
      to[e] = low * cos[e] - high * sin[e];
      to[e + d / 2] = high * cos[e + d / 2] + low * sin[e + d / 2];
    }
  }

  void place(float *row, int begin, int query, int n, int h) const {
    const int32_t *at = a.positions + begin;
    for (int j = 0; j < n; j++) {
      int apart = at[j] - at[query];
      if (a.bias)
        row[j] += a.bias[size_t(h) * (2 * a.span + 1) + apart + a.span];
      if (a.window && std::abs(apart) > a.window)
        row[j] = -INFINITY;
    }
  }
};

// What a product of bytes with a step and a least number of their own for each row leaves to be done.
struct ByRow {
  const float *ends; // (rows, 2), step and least of each row; null: nothing is left to be done
  const float *sums; // (D,), of each output's weights
  const float *bias; // (D,)
};

// Of x (rows, D) and what stands in residual (row at[r], null: r) their sum; its norm; and that as bytes, each column
// times its factor (null: 1). Each is written where it is wanted.
template <typename T>
void add_norm(const T *x, const T *residual, const int32_t *at, const float *gain, const float *shift, float epsilon,
              int64_t rows, int64_t hidden, T *sum, T *norm, uint8_t *octets, const float *factors, Scale scale,
              ByRow by) {
  in_parallel(rows, 8, [&](int64_t r) {
    float *line = own.take(hidden);
    const T *row = x + r * hidden, *other = residual ? residual + (at ? at[r] : r) * hidden : nullptr;
    get_all(line, row, hidden);
    if (by.ends)
      for (int64_t e = 0; e < hidden; e++)
        line[e] = line[e] * by.ends[2 * r] + (by.ends[2 * r + 1] * by.sums[e] + by.bias[e]);
    if (other)
      for (int64_t e = 0; e < hidden; e++)
        line[e] += number(other[e]);
    if (sum)
      put_all(sum + r * hidden, line, hidden, scale);
    if (!norm && !octets)
      return;
    float mean = 0, square = 0;
#pragma omp simd reduction(+ : mean)
    for (int64_t e = 0; e < hidden; e++)
      mean += line[e];
    mean /= hidden;
#pragma omp simd reduction(+ : square)
    for (int64_t e = 0; e < hidden; e++)
      square += (line[e] - mean) * (line[e] - mean);
    float inverse = 1.0f / std::sqrt(square / hidden + epsilon);
    for (int64_t e = 0; e < hidden; e++)
      line[e] = (line[e] - mean) * inverse * gain[e] + (shift ? shift[e] : 0.0f);
    if (norm)
      put_all(norm + r * hidden, line, hidden, scale);
    if (octets && factors)
      for (int64_t e = 0; e < hidden; e++)
        line[e] *= factors[e];
    if (octets)
      put_all(octets + r * hidden, line, hidden, scale);
  });
}

enum Activation { GELU, GELU_TANH, RELU, SILU };

template <int kind> static inline vec activated(vec x) {
  switch (kind) {
  case GELU:
    return 0.5f * x * (1.0f + erf_of(x * 0.70710678f));
  case GELU_TANH:
    return x / (1.0f + exp_of(-1.59576912f * (x + 0.044715f * x * x * x)));
  case SILU:
    return x / (1.0f + exp_of(-x));
  default:
    return x > 0.0f ? x : vec{};
  }
}

template <int kind, typename T, typename U> void activate_row(const T *from, const T *gate, int64_t width, U *to) {
  int64_t e = 0;
  for (; e + LANES <= width; e += LANES) {
    vec y = activated<kind>(numbers(from + e));
    put(to + e, gate ? y * numbers(gate + e) : y, Scale{});
  }
  for (; e < width; e++) {
    float y = activated<kind>(all(number(from[e])))[0];
    put(to + e, gate ? y * number(gate[e]) : y, Scale{});
  }
}

// As bytes between the row's own extremes; `ends` gets the step and the least number.
template <int kind, typename T>
void activate_row(const T *from, const T *gate, int64_t width, uint8_t *to, float *ends) {
  float *line = own.take(width), low = FLT_MAX, high = -FLT_MAX;
  vec least = all(low), most = all(high), finite{}; // NaN where a number is not finite: it must not get lost
  int64_t e = 0;
  for (; e + LANES <= width; e += LANES) {
    vec y = activated<kind>(numbers(from + e));
    y = gate ? y * numbers(gate + e) : y;
    least = y < least ? y : least;
    most = y > most ? y : most;
    finite += y - y;
    store(line + e, y);
  }
  float lost = sum_of(finite);
  low = -max_of(-least);
  high = max_of(most);
  for (; e < width; e++) {
    line[e] = activated<kind>(all(number(from[e])))[0] * (gate ? number(gate[e]) : 1.0f);
    low = std::min(low, line[e]);
    high = std::max(high, line[e]);
    lost += line[e] - line[e];
  }
  ends[0] = std::max(high - low, 1e-12f) / 255 + lost;
  ends[1] = low;
  Scale scale{1 / ends[0], 0};
  for (e = 0; e + LANES <= width; e += LANES)
    put(to + e, load(line + e) - low, scale);
  for (; e < width; e++)
    put(to + e, line[e] - low, scale);
}

// out (rows, F) of x (rows, F), or with a gate of x (rows, 2 F): activated first half times the second. Bytes go with
// `ends` (rows, 2).
template <int kind, typename T, typename U>
void activate(const T *x, int64_t rows, int64_t width, bool gated, U *out, float *ends) {
  int64_t step = gated ? 2 * width : width;
  in_parallel(rows, 8, [&](int64_t r) {
    const T *from = x + r * step, *gate = gated ? from + width : nullptr;
    if constexpr (std::is_same<U, uint8_t>::value)
      activate_row<kind>(from, gate, width, out + r * width, ends + 2 * r);
    else
      activate_row<kind>(from, gate, width, out + r * width);
  });
}

template <typename T, typename U>
void activate(const T *x, int64_t rows, int64_t width, int kind, bool gated, U *out, float *ends) {
  switch (kind) {
  case GELU:
    return activate<GELU>(x, rows, width, gated, out, ends);
  case GELU_TANH:
    return activate<GELU_TANH>(x, rows, width, gated, out, ends);
  case SILU:
    return activate<SILU>(x, rows, width, gated, out, ends);
  default:
    return activate<RELU>(x, rows, width, gated, out, ends);
  }
}

// Attention of each input's first word-vector without keys and values of the others: its score of x is its query
// through the keys' weights times x, and what it reads is the values' weights times the mean of x. In `asked` (B, H, D)
// are these queries, scaled; in `means` (B, H, D) go the means.
void attend_first(const float *x, const int32_t *starts, const float *asked, const int32_t *positions,
                  const float *bias, int span, int inputs, int heads, int hidden, float *means) {
  int wide = padded(hidden), across = padded(heads);
  in_parallel(inputs, 1, [&](int i) {
    int begin = starts[i], n = starts[i + 1] - begin, step = padded(n);
    const float *own_x = x + size_t(begin) * hidden, *query = asked + size_t(i) * heads * hidden;
    float *buffer =
        own.take(size_t(n) * wide + size_t(hidden) * across + size_t(n) * across + size_t(heads) * (step + wide));
    float *rows = buffer, *turned = rows + size_t(n) * wide, *scores = turned + size_t(hidden) * across;
    float *weights = scores + size_t(n) * across, *found = weights + size_t(heads) * step;
    for (int j = 0; j < n; j++) {
      std::memcpy(rows + size_t(j) * wide, own_x + size_t(j) * hidden, 4 * size_t(hidden));
      std::fill(rows + size_t(j) * wide + hidden, rows + size_t(j + 1) * wide, 0.0f);
    }
    std::fill(turned, turned + size_t(hidden) * across, 0.0f);
    for (int h = 0; h < heads; h++)
      for (int e = 0; e < hidden; e++)
        turned[size_t(e) * across + h] = query[size_t(h) * hidden + e];
    multiply(n, rows, wide, turned, across, hidden, scores);
    for (int h = 0; h < heads; h++) {
      float *row = weights + size_t(h) * step;
      for (int j = 0; j < n; j++) {
        row[j] = scores[size_t(j) * across + h];
        if (bias)
          row[j] += bias[size_t(h) * (2 * span + 1) + positions[begin + j] - positions[begin] + span];
      }
      std::fill(row + n, row + step, -INFINITY);
      softmax(row, step);
    }
    multiply(heads, weights, step, rows, wide, n, found);
    for (int h = 0; h < heads; h++)
      std::memcpy(means + (size_t(i) * heads + h) * hidden, found + size_t(h) * wide, 4 * size_t(hidden));
  });
}

} // namespace

// Kinds of numbers, as Python names them.
enum Kind { FLOAT, BFLOAT, BYTE };

extern "C" {

int powerbert_attend(const Attention *a, int from, int to) {
  if (from == FLOAT && to == FLOAT)
    Attending<float>(*a).run<float>();
  else if (from == FLOAT && to == BYTE)
    Attending<float>(*a).run<uint8_t>();
  else if (from == BFLOAT && to == BFLOAT)
    Attending<half>(*a).run<half>();
  else
    return 1;
  return 0;
}

int powerbert_attend_first(const float *x, const int32_t *starts, const float *asked, const int32_t *positions,
                           const float *bias, int span, int inputs, int heads, int hidden, float *means) {
  attend_first(x, starts, asked, positions, bias, span, inputs, heads, hidden, means);
  return 0;
}

int powerbert_add_norm(const void *x, const void *residual, const int32_t *at, const float *gain, const float *shift,
                       float epsilon, int64_t rows, int64_t hidden, void *sum, void *norm, uint8_t *octets, int kind,
                       const float *factors, float inverse, float zero, const float *ends, const float *sums,
                       const float *bias) {
  Scale scale{inverse, zero};
  ByRow by{ends, sums, bias};
  if (kind == FLOAT)
    add_norm((const float *)x, (const float *)residual, at, gain, shift, epsilon, rows, hidden, (float *)sum,
             (float *)norm, octets, factors, scale, by);
  else if (kind == BFLOAT)
    add_norm((const half *)x, (const half *)residual, at, gain, shift, epsilon, rows, hidden, (half *)sum, (half *)norm,
             octets, factors, scale, by);
  else
    return 1;
  return 0;
}

int powerbert_activate(const void *x, int64_t rows, int64_t width, int kind, int gated, void *out, int from, int to,
                       float *ends) {
  if (from == FLOAT && to == FLOAT)
    activate((const float *)x, rows, width, kind, gated, (float *)out, ends);
  else if (from == FLOAT && to == BYTE)
    activate((const float *)x, rows, width, kind, gated, (uint8_t *)out, ends);
  else if (from == BFLOAT && to == BFLOAT)
    activate((const half *)x, rows, width, kind, gated, (half *)out, ends);
  else
    return 1;
  return 0;
}
}
