// The scheduler: one fiber per thread, switched where a barrier or a collective has to wait for others.
//
// A switch saves the six registers that a function has to preserve and changes stacks; a barrier costs about
// 14 ns a thread, choosing the next one included. Other machines than x86-64 with ELF take swapcontext, which
// makes two system calls.
#include "fibers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define LEXICELL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEXICELL_ASAN 1
#endif
#endif
#ifdef LEXICELL_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !(defined(__x86_64__) && defined(__ELF__)) && !defined(LEXICELL_UCONTEXT)
#define LEXICELL_UCONTEXT 1
#endif
#ifdef LEXICELL_UCONTEXT
#include <ucontext.h>
#endif

namespace lexicell_shim {

Index thread_index, block_index, block_size, grid_size;
void* dynamic_shared;

namespace {

constexpr unsigned kMost = 1024, kWarp = 32, kAll = ~0u;
constexpr size_t kPage = 4096, kStack = 64 * 1024;

// ---- contexts --------------------------------------------------------------------------------------------

struct Context {
#ifdef LEXICELL_UCONTEXT
  ucontext_t registers;
#else
  void* stack_pointer = nullptr;
#endif
  char* stack = nullptr;  // lowest address
  size_t bytes = 0;
};

#ifdef LEXICELL_UCONTEXT
void jump(Context& from, Context& to) { swapcontext(&from.registers, &to.registers); }
void prepare(Context& c, void (*entry)()) {
  getcontext(&c.registers);
  c.registers.uc_stack.ss_sp = c.stack;
  c.registers.uc_stack.ss_size = c.bytes;
  c.registers.uc_link = nullptr;
  makecontext(&c.registers, entry, 0);
}
#else
extern "C" void lexicell_shim_jump(void** from, void* to);
asm(R"(
.text
.hidden lexicell_shim_jump
.globl lexicell_shim_jump
.type lexicell_shim_jump,@function
lexicell_shim_jump:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lexicell_shim_jump,.-lexicell_shim_jump
)");
void jump(Context& from, Context& to) { lexicell_shim_jump(&from.stack_pointer, to.stack_pointer); }
void prepare(Context& c, void (*entry)()) {
  void** top = reinterpret_cast<void**>(c.stack + c.bytes);
  *--top = nullptr;                                  // where `entry` would return to; keeps the stack aligned
  *--top = reinterpret_cast<void*>(entry);           // where the first jump returns to
  for (int i = 0; i < 6; ++i) *--top = nullptr;      // the registers that it restores
  c.stack_pointer = top;
}
#endif

// Jumps and tells AddressSanitizer about it.
void change(Context& from, Context& to) {
#ifdef LEXICELL_ASAN
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, to.stack, to.bytes);
  jump(from, to);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  jump(from, to);
#endif
}

// ---- state of the block that is running ------------------------------------------------------------------

struct Warp {
  uint32_t ready;    // lanes that can go on
  uint32_t at_warp;  // lanes that wait for the others of their warp,
  Site site;         // all at this line
  uint32_t at_block, left;
  unsigned phase;
  uint64_t words[2][kWarp];  // of this exchange and of the one before, which slow lanes may still read
};

struct Region {
  void* memory;
  size_t bytes;
};

Context main_context, fibers[kMost];
Warp warps[kMost / kWarp];
Region regions[64];
unsigned n_regions, n_threads, n_warps, current, n_left;
unsigned block_waiting, block_count[2], block_phase;
Site block_site;
bool random_order;
uint64_t random_state;
void (*thread_body)(const void*);
const void* thread_kernel;
char failure[512];

uint32_t draw() {  // splitmix64
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return uint32_t(z ^ z >> 31);
}

// ---- choosing who goes on --------------------------------------------------------------------------------

// The next thread: of warp `w` while any there can go on, so that one warp runs ahead of the others.
int choose(unsigned w) {
  if (!warps[w].ready) {
    const unsigned first = random_order ? draw() % n_warps : w + 1;
    unsigned i = 0;
    for (; i < n_warps; ++i) {
      w = (first + i) % n_warps;
      if (warps[w].ready) break;
    }
    if (i == n_warps) return -1;
  }
  const uint32_t ready = warps[w].ready;
  if (!random_order) return int(w * kWarp) + __builtin_ctz(ready);
  const unsigned by = draw() & 31u;
  const uint32_t turned = by ? ready >> by | ready << (32 - by) : ready;
  return int(w * kWarp + ((unsigned(__builtin_ctz(turned)) + by) & 31u));
}

[[noreturn]] void stop() {
  change(fibers[current], main_context);
  abort();  // nobody comes back to a fiber of a failed launch
}

template <class... A> [[noreturn]] void fail(const char* format, A... values) {
  snprintf(failure, sizeof failure, format, values...);
  stop();
}

bool same(Site a, Site b) { return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file)); }

void meet(const char* who, Site first, Site here) {
  if (!same(first, here))
    fail("%s wait at different lines, %s:%d and %s:%d (block %u, thread %u)", who, first.file, first.line,
         here.file, here.line, block_index.x, current);
}

// Nobody can go on: says who waits where.
void explain_stall() {
  int used = snprintf(failure, sizeof failure, "deadlock in block %u, where %u of %u threads left the kernel",
                      block_index.x, n_left, n_threads);
  Site before = {"", 0};
  for (unsigned t = 0, shown = 0; t < n_threads && shown < 4; ++t) {
    const Warp& w = warps[t / kWarp];
    const unsigned bit = 1u << t % kWarp;
    const bool block = w.at_block & bit;
    const Site site = block ? block_site : w.site;
    if ((!block && !(w.at_warp & bit)) || same(site, before) || size_t(used) >= sizeof failure) continue;
    used += snprintf(failure + used, sizeof failure - size_t(used), "; thread %u waits for its %s at %s:%d",
                     t, block ? "block" : "warp", site.file, site.line);
    before = site, ++shown;
  }
  stop();
}

// Goes on with another thread, or with the same one.
void give_way(unsigned warp) {
  const int next = choose(warp);
  if (next < 0) explain_stall();
  if (unsigned(next) == current) return;
  Context& from = fibers[current];
  current = unsigned(next);
  thread_index.x = current;
  change(from, fibers[current]);
}

void fiber() {
#ifdef LEXICELL_ASAN
  const void* bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (!main_context.stack)  // the first one comes from there
    main_context.stack = static_cast<char*>(const_cast<void*>(bottom)), main_context.bytes = bytes;
#endif
  for (;;) {  // once a block
    thread_body(thread_kernel);
    Warp& w = warps[current / kWarp];
    const uint32_t bit = 1u << current % kWarp;
    w.ready &= ~bit;
    w.left |= bit;
    if (++n_left == n_threads)
      change(fibers[current], main_context);
    else
      give_way(current / kWarp);
  }
}

bool prepare_fibers() {
  for (unsigned i = 0; i < n_threads; ++i) {
    Context& c = fibers[i];
    if (!c.stack) {  // one page below stays out of bounds, so that an overflow ends in a fault
      constexpr int kPlain = MAP_PRIVATE | MAP_ANONYMOUS;
      void* memory = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE, kPlain, -1, 0);
      if (memory == MAP_FAILED) return false;
      mprotect(memory, kPage, PROT_NONE);
      c.stack = static_cast<char*>(memory) + kPage;
      c.bytes = kStack;
    }
#ifdef LEXICELL_ASAN
    __asan_unpoison_memory_region(c.stack, c.bytes);  // frames of a failed launch were never left
#endif
    prepare(c, fiber);
  }
  return true;
}

void start_block(unsigned block, size_t shared_bytes) {
  block_index = {block, 0, 0};
  for (unsigned i = 0; i < n_regions; ++i) poison(regions[i].memory, regions[i].bytes);
  poison(dynamic_shared, shared_bytes);
  for (unsigned i = 0; i < n_warps; ++i) warps[i] = Warp{kAll, 0, {}, 0, 0, 0, {}};
  n_left = block_waiting = block_phase = 0;
  block_count[0] = block_count[1] = 0;
  current = unsigned(choose(random_order ? draw() % n_warps : 0));
  thread_index = {current, 0, 0};
}

}  // namespace

void poison(void* memory, size_t bytes) {
  static const unsigned char patterns[] = {0xcd, 0x7f, 0xff, 0x5a, 0x81};
  memset(memory, patterns[random_order ? draw() % sizeof patterns : 0], bytes);
}

void register_shared(void* memory, size_t bytes) {
  if (n_regions == sizeof regions / sizeof *regions) fail("more than %u shared objects", n_regions);
  regions[n_regions++] = {memory, bytes};
  poison(memory, bytes);
}

const uint64_t* warp_exchange(unsigned mask, uint64_t word, Site site) {
  Warp& w = warps[current / kWarp];
  const uint32_t bit = 1u << current % kWarp;
  if (mask != kAll) fail("%s:%d: the mask %08x is not full", site.file, site.line, mask);
  if (!w.at_warp) w.site = site;
  meet("lanes of one warp", w.site, site);
  const uint64_t* words = w.words[w.phase];
  w.words[w.phase][current % kWarp] = word;
  w.ready &= ~bit;
  w.at_warp |= bit;
  if (w.at_warp == kAll) {
    w.at_warp = 0;
    w.ready = kAll;
    w.phase ^= 1;
  }
  give_way(current / kWarp);
  return words;
}

unsigned block_exchange(bool predicate, Site site) {
  Warp& w = warps[current / kWarp];
  const uint32_t bit = 1u << current % kWarp;
  if (!block_waiting) block_site = site;
  meet("threads of one block", block_site, site);
  const unsigned phase = block_phase;
  block_count[phase] += predicate;
  w.ready &= ~bit;
  w.at_block |= bit;
  if (++block_waiting == n_threads) {
    for (unsigned i = 0; i < n_warps; ++i) warps[i].ready = kAll, warps[i].at_block = 0;
    block_waiting = 0;
    block_phase ^= 1;
    block_count[block_phase] = 0;
    give_way(random_order ? draw() % n_warps : 0);
  } else {
    give_way(current / kWarp);
  }
  return block_count[phase];
}

const char* run(void (*body)(const void*), const void* kernel, unsigned threads, unsigned blocks,
                size_t shared_bytes, unsigned seed) {
  if (!threads || threads % kWarp || threads > kMost) return "a block has whole warps, 1,024 threads at most";
  thread_body = body, thread_kernel = kernel;
  n_threads = threads, n_warps = threads / kWarp;
  block_size = {threads, 1, 1}, grid_size = {blocks, 1, 1};
  random_order = seed != 0, random_state = seed;
  failure[0] = 0;
  main_context.stack = nullptr;
  if (!prepare_fibers()) return "no memory for the stacks of the threads";
  dynamic_shared = malloc(shared_bytes);  // exactly as much, so that AddressSanitizer sees what lies beyond
  for (unsigned b = 0; b < blocks && !failure[0]; ++b) {
    start_block(b, shared_bytes);
    change(main_context, fibers[current]);
  }
  free(dynamic_shared);
  dynamic_shared = nullptr;
  return failure[0] ? failure : nullptr;
}

}  // namespace lexicell_shim

extern "C" size_t lexicell_shim_static_bytes() {
  size_t sum = 0;
  for (unsigned i = 0; i < lexicell_shim::n_regions; ++i) sum += lexicell_shim::regions[i].bytes;
  return sum;
}
