import { readFileSync } from 'node:fs'
import t from 'tap'

const ROOT = new URL('../../', import.meta.url)

// It is plain JavaScript, which the compiler does not read.
const { pictures } = await import(new URL('scripts/pictures.mjs', ROOT).href) as { pictures: () => Readonly<Record<string, string>> }

t.test('the pictures in docs/images are up to date: npm run pictures', async (t) => {
  for (const [name, drawn] of Object.entries(pictures())) t.equal(readFileSync(new URL(`docs/images/${name}`, ROOT), 'utf8'), drawn, name)
})

t.test('each picture has a title, a description, and colours for dark mode', async (t) => {
  for (const [name, drawn] of Object.entries(pictures())) {
    t.match(drawn, /<title id="title">[^<]+<\/title>/, name)
    t.match(drawn, /<desc id="description">[^<]+<\/desc>/, name)
    t.match(drawn, /prefers-color-scheme: dark/, name)
  }
})
