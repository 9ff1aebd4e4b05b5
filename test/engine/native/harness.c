/*
 * Runs single instructions on this CPU, in 64-bit mode or in 32-bit (compatibility) mode, and says what they did.
 * Linux on x86-64 only; built and driven by harness.ts. Reads `struct input` records from standard input until it ends,
 * writes one `struct output` for each. Everything that guest code can name lies below 4 GiB, at the fixed addresses
 * below; the program must be linked without position-independent code for the same reason.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x30000000ul
#define ENTRY (CODE + 0x100)
#define TAKEN (CODE + 0x180)
#define DATA 0x10000000ul
#define CONTEXT 0x20000000ul
#define GS_BASE 0x1000ul
#define WINDOW 256
#define ARCH_SET_GS 0x1001

struct input {
  uint32_t bits, length;
  uint8_t code[32];
  uint64_t regs[16], flags;
  uint8_t memory[WINDOW];
};

/* `ended`: 0 fell through, 1 jumped to TAKEN, 2 faulted. */
struct output {
  uint64_t regs[16], flags;
  uint32_t ended, vector;
  uint8_t memory[WINDOW];
};

/* Offsets are written out in the assembly below. */
struct context {
  uint64_t in[16];      /* 0x000 */
  uint64_t flags;       /* 0x080 */
  uint64_t host_rsp;    /* 0x088 */
  uint64_t out[16];     /* 0x090 */
  uint64_t out_flags;   /* 0x110 */
  uint32_t ended;       /* 0x118 */
  uint32_t bits;        /* 0x11c */
  uint64_t entry;       /* 0x120 */
  uint32_t far_offset;  /* 0x128 */
  uint16_t far_segment; /* 0x12c */
};
static struct context *const context = (struct context *)CONTEXT;

void enter(void);
void fell_through(void);
void taken(void);
void faulted(void);

__asm__(
    ".globl enter, fell_through, taken, faulted\n"
    ".set C, 0x20000000\n"
    "enter:\n"
    "  push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "  mov %rsp, C+0x88\n"
    "  mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %es\n"
    "  pushq C+0x80\n popfq\n"
    "  mov C+0x00, %rax\n mov C+0x08, %rcx\n mov C+0x10, %rdx\n mov C+0x18, %rbx\n"
    "  mov C+0x20, %rsp\n mov C+0x28, %rbp\n mov C+0x30, %rsi\n mov C+0x38, %rdi\n"
    "  mov C+0x40, %r8\n mov C+0x48, %r9\n mov C+0x50, %r10\n mov C+0x58, %r11\n"
    "  mov C+0x60, %r12\n mov C+0x68, %r13\n mov C+0x70, %r14\n mov C+0x78, %r15\n"
    "  jmp *C+0x120\n"
    ".globl enter32\n"
    "enter32:\n  ljmp *C+0x128\n"
    "fell_through:\n  movl $0, C+0x118\n jmp leave_guest\n"
    "taken:\n  movl $1, C+0x118\n"
    "leave_guest:\n"
    "  mov %rsp, C+0xb0\n mov C+0x88, %rsp\n"
    "  pushfq\n popq C+0x110\n"
    "  mov %rax, C+0x90\n mov %rcx, C+0x98\n mov %rdx, C+0xa0\n mov %rbx, C+0xa8\n"
    "  mov %rbp, C+0xb8\n mov %rsi, C+0xc0\n mov %rdi, C+0xc8\n"
    "  mov %r8, C+0xd0\n mov %r9, C+0xd8\n mov %r10, C+0xe0\n mov %r11, C+0xe8\n"
    "  mov %r12, C+0xf0\n mov %r13, C+0xf8\n mov %r14, C+0x100\n mov %r15, C+0x108\n"
    "faulted:\n"
    "  cld\n"
    "  pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "  ret\n");
void enter32(void);

static uint32_t vector;

static void on_fault(int signal, siginfo_t *info, void *uc) {
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  greg_t *regs = ((ucontext_t *)uc)->uc_mcontext.gregs;
  (void)signal;
  (void)info;
  for (int i = 0; i < 16; i++) context->out[i] = regs[order[i]];
  context->out_flags = regs[REG_EFL];
  context->ended = 2;
  vector = regs[REG_TRAPNO];
  regs[REG_RIP] = (uintptr_t)faulted;
  regs[REG_RSP] = context->host_rsp;
  regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | 0x33;
}

/* A way out of guest code: jmp [rip + 0] in 64-bit mode, a far jump in 32-bit mode. */
static void put_exit(uint8_t *at, uint32_t bits, void (*where)(void)) {
  uint64_t target = (uintptr_t)where;
  if (bits == 64) {
    memcpy(at, "\xff\x25\x00\x00\x00\x00", 6);
    memcpy(at + 6, &target, 8);
  } else {
    at[0] = 0xea;
    memcpy(at + 1, &target, 4);
    memcpy(at + 5, "\x33\x00", 2);
  }
}

static void *map(uintptr_t at, size_t size, int protection) {
  void *p = mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p != (void *)at) {
    perror("mmap");
    exit(2);
  }
  return p;
}

static void run(const struct input *input, struct output *output) {
  uint8_t *entry = (uint8_t *)ENTRY;
  memcpy(entry, input->code, input->length);
  put_exit(entry + input->length, input->bits, fell_through);
  put_exit((uint8_t *)TAKEN, input->bits, taken);
  memcpy((void *)DATA, input->memory, WINDOW);
  memcpy(context->in, input->regs, sizeof context->in);
  context->flags = input->flags;
  context->entry = input->bits == 64 ? ENTRY : (uintptr_t)enter32;
  context->far_offset = ENTRY;
  context->far_segment = 0x23;
  vector = 0;
  enter();
  memcpy(output->regs, context->out, sizeof output->regs);
  output->flags = context->out_flags;
  output->ended = context->ended;
  output->vector = vector;
  memcpy(output->memory, (void *)DATA, WINDOW);
}

int main(void) {
  static uint8_t signal_stack[1 << 16];
  stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  struct input input;
  struct output output;
  map(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(DATA - 4096, 3 * 4096, PROT_READ | PROT_WRITE);
  map(CONTEXT, 4096, PROT_READ | PROT_WRITE);
  syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
  sigaltstack(&stack, NULL);
  for (const int *s = (const int[]){SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGTRAP, 0}; *s; s++) sigaction(*s, &action, NULL);
  while (fread(&input, sizeof input, 1, stdin) == 1) {
    run(&input, &output);
    fwrite(&output, sizeof output, 1, stdout);
  }
  return 0;
}
