// npm test: runs every check in turn, also after one fails. The last line says `N passed, N failed`: the assertions of the test suite, plus one failure for
// each other step that failed.
import { run, runTap } from './tap.mjs'

const STEPS = ['lint', 'build', 'types', 'package', 'unit']

let passed = 0
let failed = 0
const report = []
for (const step of STEPS) {
  console.log(`\n# ${step}`)
  const start = Date.now()
  const result = await check(step)
  passed += result.passed
  failed += result.failed
  const skipped = result.left === 0 ? '' : `, ${result.left} skipped or to do`
  report.push(`${step}: ${result.failed === 0 ? 'ok' : 'FAILED'}${skipped} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
}
console.log(`\n${report.join('\n')}\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

async function check (step) {
  const command = ['run', '--silent', step]
  if (step === 'unit') return await runTap('npm', [...command, '--'], console.log)
  return { passed: 0, failed: await run('npm', command) === 0 ? 0 : 1, left: 0 }
}
