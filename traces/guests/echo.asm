; Echoes what COM1 receives, letters in upper case, until it receives `q`, which it echoes too. 32-bit protected mode.
; irq=0 polls the line status register; irq=1 sleeps in HLT until IRQ 4 says that a byte has come.
%include "lib/boot.inc"
%include "lib/console.inc"
%include "lib/interrupts.inc"

PARAM irq, 0

RBR equ COM1 + 0
IER equ COM1 + 1
FCR equ COM1 + 2
LCR equ COM1 + 3
MCR equ COM1 + 4
LSR equ COM1 + 5

main:
  call uart_init
  cmp dword [param.irq], 0
  jne by_interrupt

by_polling:
  call receive
  jnc by_polling
  call echo
  jmp by_polling

by_interrupt:
  call pic_init
  SET_GATE IRQ_BASE + 4, on_irq4
  lidt [idtr]
  mov al, ~(1 << 4) & 0xFF
  out PIC1 + 1, al
  mov edx, IER
  mov al, 1                     ; received data available
  out dx, al
.sleep:
  cli
  mov esi, [tail]
  cmp esi, [head]
  jne .take
  sti                           ; its shadow covers HLT: no wake-up is lost
  hlt
  jmp .sleep
.take:
  sti
  movzx eax, byte [queue + esi]
  inc esi
  and esi, 0xFF
  mov [tail], esi
  call echo
  jmp .sleep

; Queues every byte that has come. `head` and `tail` are offsets into 256 bytes.
on_irq4:
  pushad
.next:
  call receive
  jnc .empty
  mov edi, [head]
  mov [queue + edi], al
  inc edi
  and edi, 0xFF
  mov [head], edi
  jmp .next
.empty:
  mov al, EOI
  out PIC1, al
  popad
  iretd

; CF set and the byte in al, or CF clear where none has come. Clobbers edx.
receive:
  mov edx, LSR
  in al, dx
  shr al, 1                     ; LSR bit 0: data ready
  jnc .none
  mov edx, RBR
  in al, dx
  stc
.none:
  ret

; al: byte. Does not return after `q`.
echo:
  mov ebx, eax
  lea ecx, [ebx - 'a']
  cmp cl, 'z' - 'a'
  ja .print
  sub al, 'a' - 'A'
.print:
  call put_char
  cmp bl, 'q'
  je .quit
  ret
.quit:
  mov al, 10
  call put_char
  xor eax, eax
  jmp exit

; 115200 baud, 8N1, FIFOs on, interrupts off, OUT2 (the gate of IRQ 4) on.
uart_init:
  mov esi, .table
  mov ecx, (.table_end - .table) / 4
.next:
  movzx edx, word [esi]
  mov al, [esi + 2]
  out dx, al
  add esi, 4
  dec ecx
  jnz .next
  ret
section .data
.table:
  dw IER, 0
  dw LCR, 0x80                  ; the divisor latch at offsets 0 and 1
  dw COM1 + 0, 1
  dw COM1 + 1, 0
  dw LCR, 3
  dw FCR, 0x07                  ; FIFOs on and empty, trigger at one byte
  dw MCR, 0x0B
.table_end:

section .bss
head: resd 1
tail: resd 1
queue: resb 256
