import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The two portals live on origins of their own, so each is built by itself: PORTAL=publisher or PORTAL=developer.
const portal = process.env.PORTAL ?? 'publisher';
// No service is called `-`, so the developer portals' assets cannot hide one.
const base = portal === 'publisher' ? '/publisher/' : '/-/';
const server = process.env.PORTICO_URL ?? (portal === 'publisher' ? 'http://127.0.0.1:8080' : 'http://127.0.0.1:8082');

export default defineConfig({
  root: portal,
  base,
  plugins: [react()],
  html: { cspNonce: '__PORTICO_NONCE__' },
  build: {
    outDir: `../dist/${portal}`,
    emptyOutDir: true,
    // An inlined asset would be a data: URL that the policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: portal === 'publisher' ? { '/subscriptions': server, '/publisher/session': server } : { '^/[^/]+/api/': server },
  },
});
