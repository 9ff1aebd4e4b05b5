// Bundles the page: web/client into <out>/web/client, beside the compiled server. `node tools/bundle.js [out]`
import { cpSync, mkdirSync } from 'node:fs';
import { build } from 'esbuild';

const out = `${process.argv[2] ?? 'dist'}/web/client`;
mkdirSync(out, { recursive: true });
await build({
  entryPoints: [
    { in: 'web/client/main.ts', out: 'client' },
    { in: 'web/client/styles/main.css', out: 'client' },
  ],
  outdir: out,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  sourcemap: false,
  logLevel: 'warning',
});
for (const file of ['index.html', 'icon.svg']) cpSync(`web/client/${file}`, `${out}/${file}`);
