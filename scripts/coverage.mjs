// What tap measures the coverage of, whatever test runs: lib. Benchmarks and scripts are measured by their results.
import { readdirSync } from 'node:fs'

const files = readdirSync(new URL('../lib', import.meta.url), { recursive: true }).filter((file) => file.endsWith('.ts')).map((file) => `lib/${file}`)

export default () => files
