// npm test: every check, one after the other, to the end even where one fails. The last line says `N passed, N failed`:
// the assertions of the test suite, and one failure for each other step that failed.
import { countTap, spawn } from './tap.mjs'

const STEPS = ['lint', 'types', 'build', 'package', 'unit']

let passed = 0
let failed = 0
const report = []
for (const step of STEPS) {
  const start = Date.now()
  console.log(`\n# ${step}`)
  const result = step === 'unit' ? countTap((args) => npmRun(step, args)) : { passed: 0, failed: npmRun(step, []) === 0 ? 0 : 1, left: 0 }
  passed += result.passed
  failed += result.failed
  const skipped = result.left === 0 ? '' : `, ${result.left} skipped or to do`
  report.push(`${step}: ${result.failed === 0 ? 'ok' : 'FAILED'}${skipped} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
}

console.log(`\n${report.join('\n')}\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function npmRun (step, args) {
  const { status, error } = spawn('npm', ['run', '--silent', step, ...(args.length === 0 ? [] : ['--', ...args])])
  if (error !== undefined) console.error(error.message)
  return status
}
