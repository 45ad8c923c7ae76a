// The dashboard's files, straight from the folder beside this module. Nothing else on the disk can be reached.

import { readFile } from 'node:fs/promises';

const FOLDER = new URL('./page/', import.meta.url);
const TYPES = { html: 'text/html', css: 'text/css', mjs: 'text/javascript', js: 'text/javascript' };
const HEADERS = {
  'Cache-Control': 'no-cache',
  'Content-Security-Policy': "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
};

/** Reply with a file of the page; null when the address is none. */
export async function pageFile(path) {
  const name = path === '/' ? 'index.html' : path.slice(1);
  const type = TYPES[/^[a-z]+\.(html|css|mjs|js)$/.exec(name)?.[1]];
  if (!type) return null;
  try {
    const body = await readFile(new URL(name, FOLDER));
    return { status: 200, headers: { ...HEADERS, 'Content-Type': `${type}; charset=utf-8` }, body };
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}
