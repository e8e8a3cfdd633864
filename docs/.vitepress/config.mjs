// The site of these pages: npm run docs. scripts/docs-pages.mjs prepares them.
import { join } from 'node:path'
import { defineConfig } from 'vitepress'
import { sidebar, SITE, slug } from '../../scripts/docs-pages.mjs'

const ICON = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><circle cx='16' cy='16' r='12' fill='none' stroke='%230969da' stroke-width='5'/><circle cx='16' cy='16' r='4' fill='%230969da'/></svg>"

export default defineConfig({
  title: 'fastify-ctx',
  description: 'A typed request context for Fastify: the tenant, the user and the request id in any function and on every log line',
  lang: 'en',
  srcDir: join(SITE, 'pages'),
  outDir: join(SITE, 'html'),
  cacheDir: join(SITE, 'cache'),
  base: process.env.DOCS_BASE ?? '/',
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${ICON}` }]],
  markdown: {
    // The pages hold no HTML, and what looks like it, or like a link, is text.
    html: false,
    linkify: false,
    attrs: { disable: true },
    anchor: { slugify: slug },
    languageAlias: { jsonl: 'json', svg: 'xml' },
    config (md) {
      // Vue would take what stands between two pairs of braces for an expression.
      const text = md.renderer.rules.text
      md.renderer.rules.text = (...args) => text(...args).replaceAll('{{', '&#123;&#123;')
      // A long name may break after these characters, and nowhere else.
      const code = md.renderer.rules.code_inline
      md.renderer.rules.code_inline = (tokens, i, ...rest) => {
        const html = code(tokens, i, ...rest)
        const { length } = tokens[i].content
        return length > 12 ? html.replace(length > 20 ? /(?<=[a-z0-9])[_./](?=[a-z])(?![^<]*>)/gi : /(?<=[a-z0-9])[_/](?=[a-z])(?![^<]*>)/gi, '$&<wbr>') : html
      }
    }
  },
  themeConfig: {
    outline: [2, 3],
    search: { provider: 'local' },
    sidebar: sidebar(),
    nav: [{ text: 'API', link: '/api' }, { text: 'Recipes', link: '/recipes' }, { text: 'Changelog', link: '/changelog' }]
  }
})
