/** The greeting of VMCALL 0. The logo, nine lines, is Trapline's own: a line with a trap on it. */
export const LOGO: readonly string[] = [
  '         o',
  '         |            T R A P L I N E',
  '  .------+------.',
  '  |  .-------.  |     every exit leaves',
  '~~|~~|~~ x ~~|~~|~~~~~~~~~~~~~~~~~~~~~~~',
  "  |  `-------'  |     a track in the snow",
  "  '------+------'",
  '         |',
  '        / \\',
];

export const GREETINGS = ['GREETINGS FROM VMX-ROOT...', ...LOGO, ''].join('\n');
export const HYPERVISED = 'This OS is hypervisored by Ymir.\n';
