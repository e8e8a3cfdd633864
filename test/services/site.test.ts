// The site that `npm run docs` builds, in an installed Chromium: every link, both colour schemes, a phone's width, the search.
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { openBrowser } from '../support/browser.ts'
import type { Tap } from '../support/support.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SITE = join(ROOT, '.site/html')
const TYPES: Readonly<Record<string, string>> = { '.css': 'text/css', '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml' }

/** A small phone. */
const PHONE = { width: 360, height: 740 }
const DESKTOP = { width: 1280, height: 900 }

/** The minimum contrast of text and of the colours of code (WCAG 2.2, 1.4.3 and 1.4.11). */
const CONTRAST = { text: 4.5, code: 3 }

/** The checks of a page, as text that runs in the browser. */
const LOOK = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number)
  const luminance = (rgb) => { const [r, g, b] = rgb.map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
  const over = (top, bottom) => { const a = top[3] ?? 1; return [0, 1, 2].map((i) => top[i] * a + bottom[i] * (1 - a)) }
  const background = (element) => {
    if (element === null) return [255, 255, 255]
    const color = channels(getComputedStyle(element).backgroundColor)
    return (color[3] ?? 1) === 1 ? color : over(color, background(element.parentElement))
  }
  const contrast = (element) => {
    const behind = background(element)
    const [a, b] = [luminance(over(channels(getComputedStyle(element).color), behind)), luminance(behind)].sort((a, b) => b - a)
    return (a + 0.05) / (b + 0.05)
  }
  const ownText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '')
  const weakest = (elements) => Math.min(21, ...[...elements].filter((element) => ownText(element) && element.checkVisibility()).map(contrast))
  return {
    title: document.title,
    dark: document.documentElement.classList.contains('dark'),
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ids: [...document.querySelectorAll('[id]')].map(({ id }) => id),
    links: [...document.querySelectorAll('a[href]')].map(({ href }) => href),
    pictures: [...document.images].map(({ src, naturalWidth }) => ({ src, shown: naturalWidth > 0 })),
    text: weakest(document.querySelectorAll('.vp-doc :is(h1, h2, h3, h4, p, li, td, th, a, strong, em), .vp-doc :not(pre) > code')),
    code: weakest(document.querySelectorAll('.vp-doc pre span'))
  }
})()`

interface Look {
  readonly title: string
  readonly dark: boolean
  /** How many pixels the page is wider than the window. */
  readonly wider: number
  readonly ids: readonly string[]
  readonly links: readonly string[]
  readonly pictures: ReadonlyArray<{ readonly src: string, readonly shown: boolean }>
  readonly text: number
  readonly code: number
}

/** Serves the site like any host of static files. */
async function serve (t: Tap): Promise<string> {
  const server = createServer(({ url = '/' }, response) => {
    const path = decodeURIComponent(new URL(url, 'http://localhost').pathname)
    const file = join(SITE, path.endsWith('/') ? `${path}index.html` : path)
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file))
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A window, with its console errors and the foreign hosts that it contacts. */
async function open (t: Tap, browser: Browser, url: string, colorScheme: 'light' | 'dark', viewport: typeof PHONE) {
  const context = await browser.newContext({ colorScheme, viewport })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const wrong: string[] = []
  const elsewhere: string[] = []
  page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') wrong.push(`${page.url()}: ${message.text()}`) })
  page.on('pageerror', (error) => { wrong.push(`${page.url()}: ${error.message}`) })
  page.on('request', (request) => { if (!request.url().startsWith(`${url}/`) && !request.url().startsWith('data:')) elsewhere.push(request.url()) })
  page.on('response', (response) => { if (response.status() >= 400) wrong.push(`${response.status()} ${response.url()}`) })
  return { page, wrong, elsewhere }
}

/** Opens a page, and waits for its scripts. On a slow machine the network may be idle before the browser has read the whole page. */
async function visit (page: Page, url: string): Promise<void> {
  await page.goto(url, { waitUntil: 'load' })
  await page.waitForLoadState('networkidle')
}

async function look (page: Page, url: string): Promise<Look> {
  await visit(page, url)
  return await page.evaluate<Look>(LOOK)
}

/** The path of each page of the site. */
function pagesOf (): string[] {
  const files = (readdirSync(SITE, { recursive: true }) as string[]).map((name) => name.replaceAll('\\', '/'))
  return files.filter((name) => name.endsWith('.html') && name !== '404.html').map((name) => `/${name.replace(/(^|\/)index\.html$/, '$1')}`).sort()
}

function testSite (t: Tap, browser: Browser, url: string): void {
  const pages = pagesOf()

  t.test('on a light screen each link leads to an existing page and heading, and no other host is contacted', async (t) => {
    const { page, wrong, elsewhere } = await open(t, browser, url, 'light', DESKTOP)
    const looks = new Map<string, Look>()
    for (const path of pages) looks.set(path, await look(page, `${url}${path}`))
    t.not(looks.size, 0)
    const broken = [...looks].flatMap(([path, { links }]) => links.filter((link) => {
      const { origin, pathname, hash } = new URL(link)
      if (origin !== url) return !link.startsWith('https://')
      const target = looks.get(pathname)
      return target === undefined || (hash !== '' && !target.ids.includes(decodeURIComponent(hash.slice(1))))
    }).map((link) => `${path}: ${link}`))
    t.same(broken, [])
    t.same([...looks].flatMap(([path, { pictures }]) => pictures.filter(({ shown }) => !shown).map(({ src }) => `${path}: ${src}`)), [], 'each picture is shown')
    t.same([...looks].filter(([, { dark, text, code }]) => dark || text < CONTRAST.text || code < CONTRAST.code).map(([path, { dark, text, code }]) => ({ path, dark, text, code })), [], 'text and code are readable')
    t.same([...looks].filter(([, { wider }]) => wider > 0).map(([path]) => path), [], 'no page is wider than the window')
    t.same(wrong, [])
    t.same(elsewhere, [])
  })

  t.test('on a dark phone each page fits the width and is readable', async (t) => {
    const { page, wrong, elsewhere } = await open(t, browser, url, 'dark', PHONE)
    const looks = new Map<string, Look>()
    for (const path of pages) looks.set(path, await look(page, `${url}${path}`))
    t.same([...looks].filter(([, { wider }]) => wider > 0).map(([path, { wider }]) => ({ path, wider })), [], 'no page is wider than the window')
    t.same([...looks].filter(([, { dark, text, code }]) => !dark || text < CONTRAST.text || code < CONTRAST.code).map(([path, { dark, text, code }]) => ({ path, dark, text, code })), [], 'text and code are readable')
    t.same(wrong, [])
    t.same(elsewhere, [])
  })

  t.test('the search finds a heading, a code and a phrase, and opens the right place', async (t) => {
    const { page, wrong, elsewhere } = await open(t, browser, url, 'light', DESKTOP)
    for (const [words, path] of [['impersonation', '/work.html'], ['FST_CTX_LATE_READ', '/errors.html'], ['row-level security', '/database.html']] as const) {
      await visit(page, `${url}/`)
      await page.click('.DocSearch-Button')
      await page.fill('#localsearch-input', words)
      const result = page.locator(`.results a[href^="${path}"]`).first()
      await result.waitFor()
      await result.click()
      await page.waitForURL((found) => found.pathname === path)
      t.match(await page.textContent('.vp-doc'), new RegExp(words, 'i'), words)
    }
    t.same(wrong, [])
    t.same(elsewhere, [])
  })

  t.test('the switch of the colour scheme works, and its choice is kept', async (t) => {
    const { page } = await open(t, browser, url, 'light', DESKTOP)
    t.equal((await look(page, `${url}/`)).dark, false)
    await page.click('.VPNavBar .VPSwitchAppearance')
    t.equal((await page.evaluate<Look>(LOOK)).dark, true)
    t.equal((await look(page, `${url}/api.html`)).dark, true)
  })
}

const browser = await openBrowser(t, 'npm run docs fails on a link to a page that does not exist.')
if (browser !== undefined) {
  // The build reads each page and highlights each block of code.
  t.setTimeout(900_000)
  await promisify(execFile)(process.execPath, [join(ROOT, 'scripts/docs.mjs')], { cwd: ROOT })
  testSite(t, browser, await serve(t))
}
