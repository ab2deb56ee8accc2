import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// Relative addresses alone, so that the page works beneath any path; one script and one
// style sheet, as files, since the policy allows nothing inline.
export default defineConfig({
  base: './',
  resolve: {
    alias: {
      '@ocore/audit': at('../../../gen/typescript/src/index.ts'),
      'openapi-fetch': at('node_modules/openapi-fetch'),
    },
  },
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    license: { fileName: 'licences.txt' }, // of what is built in, as these licences ask for
    modulePreload: { polyfill: false },
    rollupOptions: { output: { codeSplitting: false } },
  },
})
