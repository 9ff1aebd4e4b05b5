/** A row of tabs: one is chosen; arrow keys move between them (WAI-ARIA Authoring Practices, "Tabs"). */
import { byId, el } from './dom.js';
import { PANELS, type PanelName } from './state.js';

const NAMES: { readonly [panel in PanelName]: string } = {
  profile: 'Profile',
  flame: 'Flame graph',
  compare: 'Compare',
};

/** Draws the tabs and shows the panel of the chosen one. */
export function showTabs(shown: readonly PanelName[], chosen: PanelName, choose: (panel: PanelName) => void): void {
  const place = byId('tabs', HTMLElement);
  const focused = place.contains(document.activeElement);
  const tabs = shown.map((panel) => {
    const tab = el(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `tab-${panel}`,
        'aria-selected': String(panel === chosen),
        'aria-controls': panel,
        tabindex: panel === chosen ? '0' : '-1',
        on: { click: () => choose(panel) },
      },
      NAMES[panel],
    );
    tab.addEventListener('keydown', (event) => {
      const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
      if (step === 0) return;
      event.preventDefault();
      event.stopPropagation();
      choose(shown[(shown.indexOf(panel) + step + shown.length) % shown.length] ?? panel);
    });
    return tab;
  });
  place.replaceChildren(...tabs);
  if (focused) tabs[shown.indexOf(chosen)]?.focus();
  for (const panel of PANELS) byId(panel, HTMLElement).hidden = panel !== chosen;
}
