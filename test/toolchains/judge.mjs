import { readFileSync } from 'node:fs'

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/

/** The line of probe.mjs that reads a value after its scope has ended: a warning names it. */
const LATE_READ = readFileSync(new URL('probe.mjs', import.meta.url), 'utf8').split('\n').findIndex((line) => line.includes('const anywhere')) + 1

/** The place that the warning must name: in the bundle, or, with a source map, in the original file. */
export const SOURCE = new RegExp(`probe\\.m[jt]s:${LATE_READ}:\\d+`)

/**
 * Returns what is wrong with the output of probe.mjs; an empty list if nothing is.
 *
 * @param place what the warning must name, such as a line of a bundle
 */
export function judge (output, place = SOURCE) {
  const line = output.split('\n').findLast((line) => line.startsWith('{"answers"'))
  if (line === undefined) return [`it printed no result: ${output.trim().slice(-600)}`]
  const { answers, lines, warnings, read } = JSON.parse(line)
  const wrong = []
  const check = (holds, what) => { if (!holds) wrong.push(what) }
  check(answers.map(({ tenant }) => tenant).join() === 'acme,globex', `tenants: ${answers.map(({ tenant }) => tenant)}`)
  check(answers.every(({ id, echoed }) => id === echoed), 'the id of the answer is not request.id')
  check(answers.every(({ id }) => UUID.test(id)), `ids that are not unique beyond this process: ${answers.map(({ id }) => id)}`)
  check(lines.length === 2, `${lines.length} log lines`)
  for (const { tenant, id } of answers) {
    const own = lines.filter((line) => line.includes(`"tenant":"${tenant}"`))
    check(own.length === 1 && own[0].includes(`"reqId":"${id}"`) && own[0].includes('"user":"ada"'), `the log line of ${tenant}: ${lines}`)
    check(own.every((line) => line.split('"reqId"').length === 2 && line.split('"tenant"').length === 2), `a field twice: ${own}`)
  }
  check(lines.every((line) => !line.includes('secret')), 'a value that no key logs')
  const late = warnings.filter(({ code }) => code === 'FST_CTX_LATE_READ')
  check(read, 'a value after the end')
  check(late.length === 1, `warnings: ${warnings.map(({ code, message }) => `${code}: ${message}`)}`)
  check(late.every(({ message }) => message.includes("'tenant' was read at ") && place.test(message)), `the line of the caller: ${late.map(({ message }) => message)}`)
  return wrong
}
