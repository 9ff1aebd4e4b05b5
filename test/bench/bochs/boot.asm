; Boot sector that enters a multiboot image, for machines without a multiboot loader. The disk that bochs.ts composes:
; sector 0 is this; sector 1 holds four words (load address, bytes of the image, address behind its zeroed memory, entry)
; and from byte 16 the command line; the image starts in sector 2. At most 126 sectors of image.
org 0x7C00
bits 16
SECTORS equ 127
BUFFER equ 0x10000
INFO equ 0x9000                 ; multiboot information

start:
  cli
  cld
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7C00
  mov si, packet
  mov ah, 0x42                  ; extended read
  int 0x13
  jc stop
  in al, 0x92                   ; A20
  or al, 2
  out 0x92, al
  cli
  lgdt [gdtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp 8:protected
stop:
  hlt
  jmp stop

bits 32
protected:
  mov eax, 16
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  mov edi, [BUFFER]
  mov ecx, [BUFFER + 4]
  mov esi, BUFFER + 512
  rep movsb
  mov ecx, [BUFFER + 8]
  sub ecx, edi
  xor eax, eax
  rep stosb
  mov edi, INFO
  mov ecx, 120
  rep stosb
  mov dword [INFO], 1 << 2      ; cmdline is valid
  mov dword [INFO + 16], BUFFER + 16
  mov eax, 0x2BADB002
  mov ebx, INFO
  jmp [BUFFER + 12]

align 4
packet:
  db 16, 0
  dw SECTORS, 0, BUFFER >> 4
  dq 1
gdt:
  dq 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdtr:
  dw gdtr - gdt - 1
  dd gdt

times 510 - ($ - $$) db 0
dw 0xAA55
