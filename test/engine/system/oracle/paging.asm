; What a page's entries permit: every combination of the rights of a page-directory entry and a page-table entry (present,
; writable, user, execute-disable, a reserved bit), under CR0.WP, CR4.SMEP, CR4.SMAP, EFER.NXE and RFLAGS.AC, for reads,
; writes and fetches of ring 0 and 3. One line a setting and access, three digits a combination: 80 or the error code of
; #PF, and what was set (1: accessed, 2: dirty flag of the page's entry, 4: accessed flag of the directory's).
; To be assembled with LONG_MODE defined.
%include "harness.inc"

TRIED equ 0x80000000            ; linear address of the page
ALIAS equ 0x40000000            ; where ring 3 finds the code of ring 0, whose own pages are the supervisor's
SCRATCH equ 0x400000            ; the page

section .bss
  alignb 4096
alias_directory: resb 4096
tried_directory: resb 4096
tried_table: resb 4096

section .data
  align 8
; Rights of the directory's entry; those of the page's.
directory_rights: dq 7, 5, 3, 0x8000000000000007
directory_rights_end:
page_rights:
  dq 0, 1, 3, 5, 7
  dq 0x8000000000000001, 0x8000000000000003, 0x8000000000000005, 0x8000000000000007
  dq 0x0008000000000001, 0x0008000000000007
page_rights_end:
config: dd 0
WP equ 1
SMEP equ 2
SMAP equ 4
NXE equ 8
AC equ 16

operations:
  dd .read, op_read, .write, op_write, .fetch, op_fetch, 0
.read: db "read", 0
.write: db "write", 0
.fetch: db "fetch", 0

section .text
op_read:
  mov eax, [r8]
  int DONE
op_write:
  mov [r8 + 8], eax
  int DONE
op_fetch:
  jmp r8

; Brings the bits of [config] into force. Clobbers rax, rcx, rdx.
configure:
  mov rax, cr0
  btr eax, 16
  test byte [config], WP
  jz .write_protect
  bts eax, 16
.write_protect:
  mov cr0, rax
  mov rax, cr4
  and eax, ~(3 << 20)
  test byte [config], SMEP
  jz .smep
  bts eax, 20
.smep:
  test byte [config], SMAP
  jz .smap
  bts eax, 21
.smap:
  mov cr4, rax
  mov ecx, 0xC0000080
  rdmsr
  btr eax, 11
  test byte [config], NXE
  jz .nxe
  bts eax, 11
.nxe:
  wrmsr
  mov eax, 2
  test byte [config], AC
  jz .ac
  bts eax, 18
.ac:
  mov [initial_flags], eax
  ret

; al: two hexadecimal digits.
put_byte:
  push rax
  shr al, 4
  call put_digit
  pop rax
; al, bits 3:0: one digit.
put_digit:
  push rax
  and al, 15
  cmp al, 10
  jb .decimal
  add al, 'a' - '0' - 10
.decimal:
  add al, '0'
  call put_char
  pop rax
  ret

; rbx, rbp: where the rights of the entries stand; rsi: the operation. Prints three digits.
try_page:
  mov rax, [rbx]
  lea ecx, [tried_table]
  or rax, rcx
  mov [tried_directory], rax
  mov rax, [rbp]
  or rax, SCRATCH
  mov [tried_table], rax
  mov r8d, TRIED
  invlpg [r8]
  push rbx
  push rbp
  mov edi, [rsi + 4]
  cmp byte [ring], 0
  je .inner
  add edi, ALIAS
.inner:
  call attempt
  pop rbp
  pop rbx
  test eax, eax
  jns .fault
  mov al, 0x80
.fault:
  call put_byte
  mov eax, [tried_table]
  shr eax, 5
  and eax, 3
  mov ecx, [tried_directory]
  shr ecx, 3
  and ecx, 4
  or eax, ecx
  call put_digit
  ret

%macro WHERE 2
  test byte [config], %1
  jz %%absent
  PRINT %2
%%absent:
%endmacro

try_setting:
  mov esi, operations
.operation:
  PRINT "ring "
  movzx eax, byte [ring]
  call put_decimal
  PRINT " "
  push rsi
  mov esi, [rsi]
  call put_text
  pop rsi
  WHERE WP, " WP"
  WHERE SMEP, " SMEP"
  WHERE SMAP, " SMAP"
  WHERE NXE, " NXE"
  WHERE AC, " AC"
  PRINT ":"
  mov ebx, directory_rights
.directory:
  mov ebp, page_rights
.page:
  PRINT " "
  call try_page
  add ebp, 8
  cmp ebp, page_rights_end
  jb .page
  add ebx, 8
  cmp ebx, directory_rights_end
  jb .directory
  PRINT 10
  add esi, 8
  cmp dword [rsi], 0
  jne .operation
  ret

main:
  call prepare
  mov word [abs SCRATCH], 0x80CD ; INT DONE
  mov dword [alias_directory], 0x87
  mov dword [pdpt + 8], alias_directory + 7
  mov dword [pdpt + 16], tried_directory + 7
  mov dword [page_directory], 0x83
  mov rax, cr3
  mov cr3, rax
.ring:
  mov dword [config], 0
.config:
  mov eax, [config]
  and eax, AC | SMAP
  cmp eax, AC                   ; AC is asked for by SMAP only
  je .next
  call configure
  call try_setting
.next:
  inc dword [config]
  cmp dword [config], 32
  jb .config
  xor byte [ring], 3
  jnz .ring
  PRINT "end", 10
  xor eax, eax
  jmp exit
