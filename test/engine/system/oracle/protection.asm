; What each descriptor does in each instruction that takes a selector, at both ends of privilege: every type of descriptor,
; with every size flag that matters, through MOV, LAR, LSL, VERR, VERW, LLDT, LTR, JMP, CALL, RETF, IRET and INT. One
; line a combination of ring, instruction, flags and RPL: the type from which on a result holds, and the result:
;   vvaaeeee: vector (80: none), access byte of the descriptor afterwards, error code or what the instruction answered.
; Assembled as it is for protected mode, with LONG_MODE defined for 64-bit mode.
%include "harness.inc"

TRIED equ 0x40                  ; vector of the gate that is tried

section .data
far_pointer:
  dd landed
far_selector: dw 0
selector: dw 0
stack_selector: dw 0
flags: db 0
rpl: db 0
type: db 0
last: dd 0

section .text
op_ds:
  mov ax, [selector]
  xor ebx, ebx
  mov ds, ax
  int DONE
op_ss:
  mov ax, [selector]
  mov dx, [stack_selector]
  xor ebx, ebx
  mov ss, ax
  mov ss, dx
  int DONE
op_lar:
  mov ebx, 0xDEAD
  movzx eax, word [selector]
  lar ecx, eax
  jnz .end
  shr ecx, 8
  mov ebx, ecx
.end:
  int DONE
op_lsl:
  mov ebx, 0xDEAD
  movzx eax, word [selector]
  lsl ecx, eax
  jnz .end
  mov ebx, ecx
.end:
  int DONE
op_verr:
  xor ebx, ebx
  verr [selector]
  setz bl
  int DONE
op_verw:
  xor ebx, ebx
  verw [selector]
  setz bl
  int DONE
op_lldt:
  xor ebx, ebx
  lldt [selector]
  int DONE
op_ltr:
  xor ebx, ebx
  ltr [selector]
  int DONE
op_jmp:
  xor ebx, ebx
  jmp far dword [far_pointer]
op_call:
  xor ebx, ebx
  call far dword [far_pointer]
op_retf:
  xor ebx, ebx
  movzx eax, word [stack_selector]
  push zax
  push outer_stack
  movzx eax, word [selector]
  push zax
  push landed
  zretf
op_iret:
  xor ebx, ebx
  movzx eax, word [stack_selector]
  push zax
  push outer_stack
  push 2
  movzx eax, word [selector]
  push zax
  push landed
  ziret
; SS of a return to the level of its RPL.
op_iret_ss:
  xor ebx, ebx
  movzx eax, word [selector]
  push zax
  push outer_stack
  push 2
  mov ecx, CODE
  test eax, 3
  jz .inner
  mov ecx, USER_CODE
.inner:
  push zcx
  push landed
  ziret
op_int:
  xor ebx, ebx
  int TRIED

section .data
; Name; code; whether a type that asks for a switch of tasks is left out (protected mode only); whether size flags matter.
operations:
  dd name_ds, op_ds, 0, 0
  dd name_ss, op_ss, 0, 0
  dd name_lar, op_lar, 0, 0
  dd name_lsl, op_lsl, 0, 1
  dd name_verr, op_verr, 0, 0
  dd name_verw, op_verw, 0, 0
  dd name_lldt, op_lldt, 0, 0
  dd name_ltr, op_ltr, 0, 0
  dd name_jmp, op_jmp, 1, 1
  dd name_call, op_call, 1, 1
  dd name_retf, op_retf, 0, 1
  dd name_iret, op_iret, 0, 1
  dd name_iret_ss, op_iret_ss, 0, 0
  dd name_int, op_int, 1, 0
  dd 0
name_ds: db "ds", 0
name_ss: db "ss", 0
name_lar: db "lar", 0
name_lsl: db "lsl", 0
name_verr: db "verr", 0
name_verw: db "verw", 0
name_lldt: db "lldt", 0
name_ltr: db "ltr", 0
name_jmp: db "jmp", 0
name_call: db "call", 0
name_retf: db "retf", 0
name_iret: db "iret", 0
name_iret_ss: db "iret_ss", 0
name_int: db "int", 0
flag_values:
%ifdef LONG_MODE
  db 0x8, 0xA, 0xC, 0xE, 0
%else
  db 0x4, 0x8, 0xC, 0
%endif
odd_selectors:
  dw 0, 1, 2, 3, 4, 7, 0x44, 0x58, 0x5B, 0x1000, 0xFFF8, 0xFFFF
odd_selectors_end:

section .text
; Writes the tried descriptor for [type] and [flags]: a gate to `landed` where the type is a gate's, else a flat segment.
write_descriptor:
  movzx eax, byte [type]
  mov ecx, eax
  and ecx, 0x1F
  mov edx, 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 12 | 1 << 14 | 1 << 15
  bt edx, ecx
  jc .gate
  mov dword [free], 0xFFFF
  shl eax, 8
  movzx ecx, byte [flags]
  shl ecx, 20
  or eax, ecx
  or eax, 0xF0000
  mov [free + 4], eax
  jmp .copy
.gate:
  mov ecx, landed
  and ecx, 0xFFFF
  or ecx, CODE << 16
  mov [free], ecx
  shl eax, 8
  mov ecx, landed
  and ecx, 0xFFFF0000
  or eax, ecx
  mov [free + 4], eax
.copy:
  mov eax, [free]
  mov [idt + TRIED * GATE_BYTES], eax
  mov eax, [free + 4]
  mov [idt + TRIED * GATE_BYTES + 4], eax
  ret

; ax: selector. Sets what the operations read.
choose_selector:
  mov [selector], ax
  mov [far_selector], ax
  mov dx, DATA_SELECTOR
  cmp byte [ring], 0
  jne .outer
  and eax, 3
  jz .inner
.outer:
  mov dx, USER_STACK
.inner:
  mov [stack_selector], dx
  ret

; zsi: entry of `operations`. Prints a line for all types.
try_types:
  PRINT "ring "
  movzx eax, byte [ring]
  call put_decimal
  PRINT " "
  push zsi
  mov esi, [zsi]
  call put_text
  pop zsi
  PRINT " flags "
  movzx eax, byte [flags]
  call put_decimal
  PRINT " rpl "
  movzx eax, byte [rpl]
  call put_decimal
  PRINT ":"
  mov dword [last], 0
  mov byte [type], 0
.type:
%ifndef LONG_MODE
  cmp dword [zsi + 8], 0
  je .try
  movzx ecx, byte [type]
  and ecx, 0x1F
  mov edx, 1 << 1 | 1 << 3 | 1 << 5 | 1 << 9 | 1 << 11
  bt edx, ecx
  jc .next
.try:
%endif
  call write_descriptor
  movzx eax, byte [rpl]
  or eax, FREE
  call choose_selector
  push zsi
  mov edi, [zsi + 4]
  call attempt
  pop zsi
  ; The access byte counts where it differs from what was written.
  mov ecx, eax
  shr ecx, 16
  xor cl, [type]
  movzx ecx, cl
  shl ecx, 16
  and eax, 0xFF00FFFF
  or eax, ecx
  cmp eax, [last]
  je .next
  mov [last], eax
  push zax
  PRINT " "
  movzx eax, byte [type]
  call put_decimal
  PRINT "="
  pop zax
  call put_word
.next:
  inc byte [type]
  jnz .type
  PRINT 10
  ret

; zsi: entry of `operations`. Prints a line for selectors that lead to no descriptor.
try_selectors:
  PRINT "ring "
  movzx eax, byte [ring]
  call put_decimal
  PRINT " "
  push zsi
  mov esi, [zsi]
  call put_text
  pop zsi
  PRINT " selectors:"
  mov ebx, odd_selectors
.next:
  mov ax, [zbx]
  call choose_selector
  push zbx
  push zsi
  mov edi, [zsi + 4]
  call attempt
  pop zsi
  pop zbx
  and eax, 0xFF00FFFF
  PRINT " "
  call put_word
  add ebx, 2
  cmp ebx, odd_selectors_end
  jb .next
  PRINT 10
  ret

main:
  call prepare
  ; Where a 16-bit gate leads, which keeps 16 bits of the offset.
  mov eax, landed
  and eax, 0xFFFF
  mov word [zax], 0x80CD

.ring:
  mov esi, operations
.operation:
  mov byte [flags], 0x8
  mov byte [type], 0x92
  call write_descriptor
  call try_selectors
  mov ebx, flag_values
.flags:
  mov al, [zbx]
  mov [flags], al
  mov byte [rpl], 0
  push zbx
  call try_types
  mov byte [rpl], 3
  call try_types
  pop zbx
  cmp dword [zsi + 12], 0
  je .done
  inc ebx
  cmp byte [zbx], 0
  jne .flags
.done:
  add esi, 16
  cmp dword [zsi], 0
  jne .operation
  xor byte [ring], 3
  jnz .ring
  PRINT "end", 10
  xor eax, eax
  jmp exit
