// The files whose coverage tap measures, for every test: lib. Benchmarks and scripts are tested by their results.
import { readdirSync } from 'node:fs'

const files = readdirSync(new URL('../lib', import.meta.url), { recursive: true }).filter((file) => file.endsWith('.ts')).map((file) => `lib/${file}`)

export default () => files
