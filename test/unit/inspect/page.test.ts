import { createHash } from 'node:crypto'
import t from 'tap'
import { HEADERS, PAGE, PAGE_HEADERS } from '../../../lib/inspect/page.ts'

const policy = PAGE_HEADERS['content-security-policy']!

t.test('the content security policy allows the one script and style by digest, the page\'s own data, and nothing else', async (t) => {
  const directives = Object.fromEntries(policy.split('; ').map((directive) => directive.split(/ (.*)/s, 2) as [string, string]))
  for (const element of ['script', 'style']) {
    const found = [...PAGE.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, 'gs'))].map(([, text]) => `'sha256-${createHash('sha256').update(text!).digest('base64')}'`)
    t.same(found, [directives[`${element}-src`]], element)
  }
  t.match(directives, { 'default-src': "'none'", 'connect-src': "'self'", 'base-uri': "'none'", 'form-action': "'none'", 'frame-ancestors': "'none'", 'require-trusted-types-for': "'script'" })
  t.notMatch(policy, /unsafe|https?:|\*|data:/)
})

t.test('the page requests nothing from other hosts, and has no inline handlers or style attributes', async (t) => {
  t.notMatch(PAGE, /https?:|\bsrc=|\bhref=|<link|@import|url\(|\son\w+=|\sstyle=/i)
})

t.test('neither response may be cached or sniffed as another type', async (t) => {
  for (const headers of [HEADERS, PAGE_HEADERS]) t.match(headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' })
})
