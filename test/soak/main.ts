// npm run soak [-- --minutes 3 --concurrency 300 --seed 1]: all features mixed, for minutes, on loopback only. The last line is the verdict.
import { readOptions, USAGE } from './options.ts'
import { soak } from './soak.ts'
import { verdictOf } from './verdict.ts'

function tell (text: string): void {
  console.log(`soak: ${text}`)
}

let options
try {
  options = readOptions(process.argv.slice(2))
  if (globalThis.gc === undefined) throw new Error('The heap cannot be told without node --expose-gc')
} catch (error) {
  console.error(`${(error as Error).message}\n\n${USAGE}`)
  process.exit(2)
}
tell(`${options.milliseconds / 1000} s, ${options.concurrency} at once, seed ${options.seed}, Node.js ${process.version}`)
const { ok, text } = verdictOf(await soak(options, tell))
// Stop what a fault left running.
process.stdout.write(`${text}\n`, () => { process.exit(ok ? 0 : 1) })
