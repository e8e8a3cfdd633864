import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import type { Tap } from './support.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']

/** The browser in CHROMIUM, or the first one in the path. */
const executablePath = process.env.CHROMIUM ?? (process.env.PATH ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name))).find((file) => existsSync(file))

/** Flags for running as root in a container, without any requests of its own. */
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** The installed Chromium. Without one, `undefined`, and the test says that it did not run. */
export async function openBrowser (t: Tap, otherwise: string): Promise<Browser | undefined> {
  if (executablePath === undefined) {
    t.comment(`NOT RUN IN A BROWSER: no Chromium is on this machine. Set CHROMIUM to its path, or apt-get install chromium. ${otherwise}`)
    t.pass('no browser to test with')
    return undefined
  }
  const browser = await chromium.launch({ executablePath, args: ARGS })
  t.teardown(() => browser.close())
  return browser
}
