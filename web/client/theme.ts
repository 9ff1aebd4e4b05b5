/** Light, dark, or as the system says. */
const THEMES = ['system', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

const KEY = 'trapline-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
let theme: Theme = THEMES.find((each) => each === localStorage.getItem(KEY)) ?? 'system';
let changed: (dark: boolean) => void = () => {};

/** Paper is white, whatever the page is. */
let printing = false;

const isDark = (): boolean => !printing && (theme === 'dark' || (theme === 'system' && system.matches));

function apply(): void {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
  document.documentElement.style.colorScheme = isDark() ? 'dark' : 'light';
}

/** Applies the theme; returns whether it is dark, and tells of every change. */
export function startTheme(tell: (dark: boolean) => void): boolean {
  changed = tell;
  const again = (): void => {
    apply();
    changed(isDark());
  };
  system.addEventListener('change', again);
  for (const event of ['beforeprint', 'afterprint'] as const) {
    addEventListener(event, () => {
      printing = event === 'beforeprint';
      again();
    });
  }
  apply();
  return isDark();
}

/** The next of system, light and dark; kept for the next visit. */
export function nextTheme(): void {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
  localStorage.setItem(KEY, theme);
  apply();
  changed(isDark());
}
