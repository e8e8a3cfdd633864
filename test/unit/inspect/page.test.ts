import { createHash } from 'node:crypto'
import t from 'tap'
import { HEADERS, PAGE, PAGE_HEADERS } from '../../../lib/inspect/page.ts'

const policy = PAGE_HEADERS['content-security-policy']!

t.test('the policy of the page allows its one script and its one style by their digests, its own data, and nothing else', async (t) => {
  const directives = Object.fromEntries(policy.split('; ').map((directive) => directive.split(/ (.*)/s, 2) as [string, string]))
  for (const element of ['script', 'style']) {
    const found = [...PAGE.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, 'gs'))].map(([, text]) => `'sha256-${createHash('sha256').update(text!).digest('base64')}'`)
    t.same(found, [directives[`${element}-src`]], element)
  }
  t.match(directives, { 'default-src': "'none'", 'connect-src': "'self'", 'base-uri': "'none'", 'form-action': "'none'", 'frame-ancestors': "'none'", 'require-trusted-types-for': "'script'" })
  t.notMatch(policy, /unsafe|https?:|\*|data:/)
})

t.test('the page asks nobody else for anything, and has no handler or style within its markup', async (t) => {
  t.notMatch(PAGE, /https?:|\bsrc=|\bhref=|<link|@import|url\(|\son\w+=|\sstyle=/i)
})

t.test('both answers are kept by no cache and taken for nothing else', async (t) => {
  for (const headers of [HEADERS, PAGE_HEADERS]) t.match(headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' })
})
