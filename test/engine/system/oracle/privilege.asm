; What privilege, flags, limits and reserved bits decide: RFLAGS, software interrupts, the frames of exceptions, the I/O map,
; segment limits, canonical addresses, control registers. One line a combination, one word a case:
;   80000000: no exception, else vvaaeeee as in protection.asm; where a line says so, the value that the case answered.
; Assembled as it is for protected mode, with LONG_MODE defined for 64-bit mode.
%include "harness.inc"

TRIED equ 0xF0
SCRATCH equ 0x400000            ; memory that nothing else uses

%ifdef LONG_MODE
  %define zpushf pushfq
  %define zpopf popfq
  %define WORD_TYPE qword
%else
  %define zpushf pushfd
  %define zpopf popfd
  %define WORD_TYPE dword
%endif

section .data
  align 8
image: dq 0, 0, 0, 0, 0, 0
pointer: dq 0
port: dd 0

section .text
; eax: number of an exception; the access byte of the free descriptor is left out.
put_result:
  push zax
  and eax, 0xFF00FFFF
  PRINT " "
  call put_word
  pop zax
  ret

; Prints [ring].
put_ring:
  PRINT "ring "
  movzx eax, byte [ring]
  call put_decimal
  ret

; zsi: an entry { name, code } of a table. Prints the name.
put_name:
  push zsi
  mov esi, [zsi]
  PRINT " "
  call put_text
  pop zsi
  ret

; RFLAGS: each bit alone, by each instruction, at each IOPL; the answer is RFLAGS afterwards.
op_popf:
  push WORD_TYPE [image]
  zpopf
  zpushf
  pop zbx
  int DONE
op_popfw:
  push word [image]
  popfw
  zpushf
  pop zbx
  int DONE
op_iret:
%ifdef LONG_MODE
  mov rdx, rsp
  mov eax, ss
  push rax
  push rdx
%endif
  push WORD_TYPE [image]
  mov eax, cs
  push zax
  push .landed
  ziret
.landed:
  zpushf
  pop zbx
  int DONE
op_cli:
  cli
  zpushf
  pop zbx
  int DONE
op_sti:
  sti
  zpushf
  pop zbx
  int DONE
op_sahf:
  mov ah, [image]
  sahf
  zpushf
  pop zbx
  int DONE

section .data
flag_operations:
  dd .popf, op_popf
  dd .popfw, op_popfw
  dd .iret, op_iret
  dd .cli, op_cli
  dd .sti, op_sti
  dd .sahf, op_sahf
  dd 0
.popf: db "popf", 0
.popfw: db "popfw", 0
.iret: db "iret", 0
.cli: db "cli", 0
.sti: db "sti", 0
.sahf: db "sahf", 0
section .text
try_flags:
  mov esi, flag_operations
.operation:
  xor ebp, ebp                  ; IOPL
.iopl:
  call put_ring
  PRINT " iopl "
  mov eax, ebp
  call put_decimal
  call put_name
  PRINT " answers"
  mov eax, ebp
  shl eax, 12
  or eax, 2
  mov [initial_flags], eax
  mov dword [image], 1
.bit:
  cmp dword [image], 1 << 17    ; VM is another matter
  je .next
  push zbp
  mov edi, [zsi + 4]
  call attempt
  pop zbp
  test eax, eax
  jns .print
  mov eax, [answer]
.print:
  PRINT " "
  call put_word
.next:
  shl dword [image], 1
  cmp dword [image], 1 << 22
  jb .bit
  PRINT 10
  inc ebp
  cmp ebp, 4
  jb .iopl
  add esi, 8
  cmp dword [zsi], 0
  jne .operation
  mov dword [initial_flags], 2
  ret

; Frames: vector and error code, RFLAGS in the frame without the arithmetic flags, distance of its RIP from the code.
op_ud2:
  ud2
op_int3:
  int3
op_int:
  int DONE
op_icebp:
  db 0xF1
op_divide:
  xor ebx, ebx
  div ebx
op_selector:
  mov eax, 0xFFF8
  mov ds, eax
op_bad_return:
  push zax
  push 0
  push 0
  zretf
%ifndef LONG_MODE
op_into:
  mov al, 0x7F
  inc al
  into
op_bound:
  xor eax, eax
  bound eax, [.bounds]
.bounds: dd 1, 2
%else
op_page_read:
  mov eax, [abs 1 << 30]
op_page_write:
  mov [abs 1 << 30], eax
op_page_call:
  mov eax, 1 << 30
  jmp rax
%endif
section .data
frame_operations:
  dd .ud2, op_ud2
  dd .int3, op_int3
  dd .int, op_int
  dd .icebp, op_icebp
  dd .divide, op_divide
  dd .selector, op_selector
  dd .bad_return, op_bad_return
%ifndef LONG_MODE
  dd .into, op_into
  dd .bound, op_bound
%else
  dd .page_read, op_page_read
  dd .page_write, op_page_write
  dd .page_call, op_page_call
%endif
  dd 0
.ud2: db "ud2", 0
.int3: db "int3", 0
.int: db "int", 0
.icebp: db "icebp", 0
.divide: db "divide", 0
.selector: db "selector", 0
.bad_return: db "bad_return", 0
.into: db "into", 0
.bound: db "bound", 0
.page_read: db "page_read", 0
.page_write: db "page_write", 0
.page_call: db "page_call", 0
section .text
try_frames:
  SET_GATE 3, exceptions + 3 * 16, 0xEE00
  SET_GATE 4, exceptions + 4 * 16, 0xEE00
  mov esi, frame_operations
.operation:
  call put_ring
  PRINT " frame"
  call put_name
  mov edi, [zsi + 4]
  call attempt
  call put_result
  mov eax, [frame_flags]
  and eax, ~0x8D5
  PRINT " "
  call put_word
  mov eax, [frame_ip]
  sub eax, [zsi + 4]
  PRINT " "
  call put_word
  PRINT 10
  add esi, 8
  cmp dword [zsi], 0
  jne .operation
  ret

; Software interrupts: by DPL of the gate, and by the limit of the IDT.
op_tried:
  xor ebx, ebx
  int TRIED
  int DONE
on_tried:
  int DONE
try_gates:
  call put_ring
  PRINT " gate dpl"
  xor ebp, ebp
.dpl:
  SET_GATE TRIED, on_tried
  mov eax, ebp
  shl eax, 13
  or [idt + TRIED * GATE_BYTES + 4], eax
  push zbp
  mov edi, op_tried
  call attempt
  pop zbp
  call put_result
  inc ebp
  cmp ebp, 4
  jb .dpl
  PRINT 10
  call put_ring
  PRINT " idt limit"
  mov ebp, TRIED * GATE_BYTES - 1
.limit:
  mov [idtr], bp
  lidt [idtr]
  push zbp
  mov edi, op_tried
  call attempt
  pop zbp
  call put_result
  inc ebp
  cmp ebp, (TRIED + 1) * GATE_BYTES
  jb .limit
  PRINT 10
  mov word [idtr], 256 * GATE_BYTES - 1
  lidt [idtr]
  ret

; The I/O map: ports 10h to 1Bh of a map at 128 in the TSS, by access size and limit of the TSS.
op_in1:
  mov edx, [port]
  in al, dx
  xor ebx, ebx
  int DONE
op_in2:
  mov edx, [port]
  in ax, dx
  xor ebx, ebx
  int DONE
op_in4:
  mov edx, [port]
  in eax, dx
  xor ebx, ebx
  int DONE
section .data
io_operations:
  dd .in1, op_in1
  dd .in2, op_in2
  dd .in4, op_in4
  dd 0
.in1: db "in1", 0
.in2: db "in2", 0
.in4: db "in4", 0
section .text
try_io:
  mov dword [task + 128], 0
  mov dword [task + 128 + 2], 0xFF4A21
  mov esi, io_operations
.operation:
  mov ebp, 128 + 1              ; limit of the TSS
.limit:
  call put_ring
  call put_name
  PRINT " limit "
  mov eax, ebp
  call put_decimal
  mov [tss_descriptor], bp
  and byte [tss_descriptor + 5], ~2
  mov eax, TSS
  ltr ax
  mov dword [port], 0x10
.port:
  push zbp
  mov edi, [zsi + 4]
  call attempt
  pop zbp
  call put_result
  inc dword [port]
  cmp dword [port], 0x1C
  jb .port
  PRINT 10
  inc ebp
  cmp ebp, 128 + 6
  jb .limit
  add esi, 8
  cmp dword [zsi], 0
  jne .operation
  mov word [tss_descriptor], 127
  and byte [tss_descriptor + 5], ~2
  mov eax, TSS
  ltr ax
  ret

%ifndef LONG_MODE
; Limits: a segment at SCRATCH with limit FFEh or FFFFEh in bytes and pages, accessed through FS around its limits.
op_read1:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  mov al, [fs:ebx]
  int DONE
op_read2:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  mov ax, [fs:ebx]
  int DONE
op_read4:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  mov eax, [fs:ebx]
  int DONE
op_write1:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  mov [fs:ebx], al
  int DONE
op_write2:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  mov [fs:ebx], ax
  int DONE
op_write4:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  mov [fs:ebx], eax
  int DONE
op_add4:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  add [fs:ebx], eax
  int DONE
op_push4:
  mov ebx, [pointer]
  mov ax, FREE | 3
  mov fs, ax
  push dword [fs:ebx]
  int DONE
section .data
limit_operations:
  dd .read1, op_read1
  dd .read2, op_read2
  dd .read4, op_read4
  dd .write1, op_write1
  dd .write2, op_write2
  dd .write4, op_write4
  dd .add4, op_add4
  dd .push4, op_push4
  dd 0
.read1: db "read1", 0
.read2: db "read2", 0
.read4: db "read4", 0
.write1: db "write1", 0
.write2: db "write2", 0
.write4: db "write4", 0
.add4: db "add4", 0
.push4: db "push4", 0
section .text
section .data
limit_types: db 0xF1, 0xF3, 0xF5, 0xF7, 0xF9, 0xFB, 0xFF, 0
limit_flags: db 0x0, 0x4, 0x8, 0xC, 0xFF
limit_offsets:
  dd 0, 0xFFB, 0xFFC, 0xFFD, 0xFFE, 0xFFF, 0x1000, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0xFFEFFC, 0xFFEFFF, 0xFFF000, 0xFFFFFC
limit_offsets_end:
section .text
try_limits:
  mov esi, limit_operations
.operation:
  mov ebp, limit_types
.type:
  mov edx, limit_flags
.flags:
  call put_ring
  call put_name
  PRINT " type "
  movzx eax, byte [ebp]
  call put_decimal
  PRINT " flags "
  movzx eax, byte [edx]
  call put_decimal
  ; Base SCRATCH, limit FFEh.
  mov dword [free], (SCRATCH & 0xFFFF) << 16 | 0xFFE
  movzx eax, byte [edx]
  shl eax, 20
  mov ah, [ebp]
  or eax, (SCRATCH >> 16) & 0xFF | SCRATCH & 0xFF000000
  mov [free + 4], eax
  mov ecx, limit_offsets
.offset:
  mov eax, [ecx]
  mov [pointer], eax
  pushad
  mov edi, [esi + 4]
  call attempt
  shr eax, 24
  mov [image], eax
  popad
  mov eax, [image]
  PRINT " "
  call put_decimal
  add ecx, 4
  cmp ecx, limit_offsets_end
  jb .offset
  PRINT 10
  inc edx
  cmp byte [edx], 0xFF
  jne .flags
  inc ebp
  cmp byte [ebp], 0
  jne .type
  add esi, 8
  cmp dword [esi], 0
  jne .operation
  ret
%else
; Addresses around the edges of the canonical halves.
op_load:
  mov rcx, [pointer]
  mov rax, [rcx]
  int DONE
op_store:
  mov rcx, [pointer]
  mov [rcx], rax
  int DONE
op_load_bp:
  mov rbp, [pointer]
  mov rax, [rbp]
  int DONE
op_load_fs:
  mov rcx, [pointer]
  mov rax, [fs:rcx]
  int DONE
op_jump:
  mov rcx, [pointer]
  jmp rcx
op_call:
  mov rcx, [pointer]
  call rcx
op_ret:
  push qword [pointer]
  ret
op_iretq:
  mov rdx, rsp
  mov eax, ss
  push rax
  push rdx
  push 2
  mov eax, cs
  push rax
  push qword [pointer]
  iretq
op_invlpg:
  mov rcx, [pointer]
  invlpg [rcx]
  int DONE
op_lgdt:
  lea rcx, [image]
  mov word [rcx], 0xFFFF
  mov rax, [pointer]
  mov [rcx + 2], rax
  sidt [rcx + 16]
  lidt [rcx]
  lidt [rcx + 16]
  int DONE
op_wrmsr:
  mov eax, [pointer]
  mov edx, [pointer + 4]
  mov ecx, 0xC0000102
  wrmsr
  int DONE
section .data
canonical_operations:
  dd .load, op_load
  dd .store, op_store
  dd .load_bp, op_load_bp
  dd .load_fs, op_load_fs
  dd .jump, op_jump
  dd .call, op_call
  dd .ret, op_ret
  dd .iretq, op_iretq
  dd .invlpg, op_invlpg
  dd .lgdt, op_lgdt
  dd .wrmsr, op_wrmsr
  dd 0
.load: db "load", 0
.store: db "store", 0
.load_bp: db "load_bp", 0
.load_fs: db "load_fs", 0
.jump: db "jump", 0
.call: db "call", 0
.ret: db "ret", 0
.iretq: db "iretq", 0
.invlpg: db "invlpg", 0
.lgdt: db "lgdt", 0
.wrmsr: db "wrmsr", 0
section .text
section .data
  align 8
canonical_addresses:
  dq 0x3FFFFFF8, 0x40000000, 0x00007FFFFFFFFFF0, 0x00007FFFFFFFFFF9, 0x0000800000000000, 0x0001000000000000
  dq 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFF000000000000, 0xFFFF7FFFFFFFFFFF, 0xFFFF800000000000, 0xFFFFFFFFFFFFFFF9
canonical_addresses_end:
section .text
try_canonical:
  mov esi, canonical_operations
.operation:
  call put_ring
  call put_name
  mov ebp, canonical_addresses
.address:
  mov rax, [rbp]
  mov [pointer], rax
  push rbp
  mov edi, [rsi + 4]
  call attempt
  pop rbp
  call put_result
  add ebp, 8
  cmp ebp, canonical_addresses_end
  jb .address
  PRINT 10
  add esi, 8
  cmp dword [rsi], 0
  jne .operation
  ret

; Control registers, EFER and debug registers: bits that are reserved, or that contradict others. Each attempt restores them.
%macro CONTROL 2
op_%1:
  mov rcx, %2
  mov rax, rcx
  xor rax, [pointer]
  mov %2, rax
  mov %2, rcx
  int DONE
%endmacro
  CONTROL cr0, cr0
  CONTROL cr3, cr3
  CONTROL cr4, cr4
  CONTROL cr8, cr8
  CONTROL dr6, dr6
  CONTROL dr7, dr7
op_efer:
  mov ecx, 0xC0000080
  rdmsr
  mov rbx, rax
  xor eax, [pointer]
  xor edx, [pointer + 4]
  wrmsr
  mov rax, rbx
  xor edx, edx
  wrmsr
  int DONE
op_cr1:
  mov rcx, [pointer]
  db 0x0F, 0x22, 0xC9           ; mov cr1, rcx
  int DONE
op_pat:
  mov ecx, 0x277
  rdmsr
  mov rbx, rax
  xor eax, [pointer]
  xor edx, [pointer + 4]
  wrmsr
  int DONE
section .data
control_operations:
  ; Bits to try: CR0 without those that stop this very code; CR4 and EFER where both processors have the same features;
  ; CR3 outside of where their physical widths differ.
  dd .cr0, op_cr0
  dq 0xFFFFFFFFA0000001
  dd .cr3, op_cr3
  dq 0xFFF0000000000018
  dd .cr4, op_cr4
  dq 0xFFFFFFFF_FF801020
  dd .cr8, op_cr8
  dq 0xFFFFFFFFFFFFFFFF
  dd .dr6, op_dr6
  dq 0xFFFFFFFFFFFFFFFF
  dd .dr7, op_dr7
  dq 0xFFFFFFFF00000000
  dd .efer, op_efer
  dq 0xFFFFFFFFFFFF87FF
  dd .cr1, op_cr1
  dq 1
  dd .pat, op_pat
  dq 0xFFFFFFFFFFFFFFFF
  dd 0
.cr0: db "cr0", 0
.cr3: db "cr3", 0
.cr4: db "cr4", 0
.cr8: db "cr8", 0
.dr6: db "dr6", 0
.dr7: db "dr7", 0
.efer: db "efer", 0
.cr1: db "cr1", 0
.pat: db "pat", 0
section .text
try_controls:
  mov esi, control_operations
.operation:
  call put_ring
  call put_name
  xor ebp, ebp
.bit:
  bt [rsi + 8], rbp
  jnc .next
  xor eax, eax
  bts rax, rbp
  mov [pointer], rax
  push rbp
  mov edi, [rsi + 4]
  call attempt
  pop rbp
  PRINT " "
  push rax
  mov eax, ebp
  call put_decimal
  pop rax
  PRINT "="
  shr eax, 24
  call put_decimal
.next:
  inc ebp
  cmp ebp, 64
  jb .bit
  PRINT 10
  add esi, 16
  cmp dword [rsi], 0
  jne .operation
  ret
%endif

main:
  call prepare
  call pic_init
  mov zax, cr0
  and eax, ~(3 << 29)           ; CD and NW, which firmware may have left set
  mov cr0, zax
.ring:
  call try_flags
  call try_frames
  call try_gates
  call try_io
%ifdef LONG_MODE
  call try_canonical
  call try_controls
%else
  call try_limits
%endif
  xor byte [ring], 3
  jnz .ring
  PRINT "end", 10
  xor eax, eax
  jmp exit
