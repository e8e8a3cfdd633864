import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { runWithoutTap, type Outcome } from '../support/processes.ts'

// The package as a user gets it: packed (after `npm run build`) and installed in an empty project.

const root = fileURLToPath(new URL('../..', import.meta.url))
const repository = join(root, 'node_modules')

t.setTimeout(300_000)

const project = await mkdtemp(join(tmpdir(), 'fastify-ctx-package-'))
t.teardown(() => rm(project, { recursive: true, force: true }))

const packed = await packAndInstall()

t.test('the package contains the built files of lib, the docs, the three files that npm needs, CHANGELOG.md and SECURITY.md', async (t) => {
  const lib = (await readdir(join(root, 'lib'), { recursive: true })).map((file) => file.replaceAll('\\', '/'))
  const built = lib.filter((file) => file.endsWith('.ts')).flatMap((file) => [`dist/${file.replace(/ts$/, 'js')}`, `dist/${file.replace(/ts$/, 'd.ts')}`])
  const pages = (await readdir(join(root, 'docs'))).filter((file) => /\.(?:md|svg)$/.test(file)).map((file) => `docs/${file}`)
  const images = (await readdir(join(root, 'docs/images'))).map((file) => `docs/images/${file}`)
  t.same(packed.toSorted(), [...built, ...pages, ...images, 'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'package.json'].toSorted())
})

t.test('the links of the README work in the installed package, except for files that only a checkout has', async (t) => {
  const installed = join(project, 'node_modules/fastify-ctx')
  const readme = await readFile(join(installed, 'README.md'), 'utf8')
  const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path]) => path!)
  t.not(links.length, 0)
  t.same(links.filter((path) => !/^(?:examples\/|test\/|CONTRIBUTING\.md$)/.test(path) && !existsSync(join(installed, path))), [])
})

// The package has no declaration maps and no sources. They would make the tarball 1.7 times as large, and an editor would show the same docstrings.
t.test('go to definition in an editor shows the declaration with its docstring', async (t) => {
  const file = join(project, 'definition.ts')
  const text = `
    import context, { createContext, ctx, key } from 'fastify-ctx'
    import { withContext } from 'fastify-ctx/testing'
    ctx.get('requestId'); ctx.run({}, () => {}); ctx.signal.aborted
    createContext({ tenant: key<string>({ log: true }) })
    withContext({}, () => {}); context`
  const options: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, strict: true, types: [] }
  const service = ts.createLanguageService({
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: ts.sys.readFile,
    directoryExists: ts.sys.directoryExists,
    realpath: ts.sys.realpath!,
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => ts.ScriptSnapshot.fromString(name === file ? text : ts.sys.readFile(name) ?? ''),
    getCurrentDirectory: () => project,
    getDefaultLibFileName: ts.getDefaultLibFilePath
  })
  for (const name of ['get(', 'run(', 'signal', 'createContext(', 'log', 'withContext(', 'context']) {
    const [definition] = service.getDefinitionAtPosition(file, text.lastIndexOf(name)) ?? []
    t.match(definition?.fileName, /fastify-ctx[\\/]dist[\\/].*\.d\.ts$/, name)
    const { contextSpan, textSpan, fileName } = definition!
    const above = (await readFile(fileName, 'utf8')).slice(0, (contextSpan ?? textSpan).start).trimEnd()
    t.match(above, /\*\/$/, `${name} has a docstring`)
  }
})

t.test('repository, homepage and bugs are in package.json together, or a release still has to add them', async (t) => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as object
  const missing = ['repository', 'homepage', 'bugs'].filter((name) => !(name in manifest))
  t.ok(missing.length === 0 || missing.length === 3, `missing: ${missing.join(', ')}`)
  if (missing.length > 0) t.comment(`WARNING: package.json has no ${missing.join(', ')}: add them before the release, so that npm can resolve the links of the README`)
})

t.test('ESM: ctx.get in a function without the request returns the value of the request on the socket', async (t) => {
  await write('esm.mjs', `
    import Fastify from 'fastify'
    import context, { ctx } from 'fastify-ctx'

    const anywhere = async () => ({ tenant: ctx.get('tenant'), requestId: ctx.get('requestId') })

    const app = Fastify()
    await app.register(context, { keys: { tenant: (request) => request.headers['x-tenant-id'] } })
    app.get('/', async (request) => ({ ...await anywhere(), same: request.ctx.tenant === ctx.get('tenant') }))
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const response = await fetch(url, { headers: { 'x-tenant-id': 'acme', 'x-request-id': 'id-1' } })
    console.log(JSON.stringify({ ...await response.json(), echoed: response.headers.get('x-request-id'), outside: ctx.has('tenant') }))
    await app.close()
  `)
  t.same(JSON.parse(await printed('esm.mjs')), { tenant: 'acme', requestId: 'id-1', same: true, echoed: 'id-1', outside: false })
})

t.test('require() returns a plugin that can be registered directly, and the same copy as import', async (t) => {
  await write('cjs.cjs', `
    const Fastify = require('fastify')
    const context = require('fastify-ctx')

    async function main () {
      const imported = await import('fastify-ctx')
      const { requestContext } = await import('@fastify/request-context')
      const app = Fastify()
      app.register(context, { keys: { tenant: (request) => request.headers['x-tenant-id'] } })
      app.get('/', async () => ({ required: context.ctx.get('tenant'), imported: imported.ctx.get('tenant'), shared: requestContext.get('tenant') }))
      const url = await app.listen({ port: 0, host: '127.0.0.1' })
      const response = await fetch(url, { headers: { 'x-tenant-id': 'acme' } })
      console.log(JSON.stringify({ ...await response.json(), oneCopy: context.ctx === imported.ctx }))
      await app.close()
    }
    main()
  `)
  t.same(JSON.parse(await printed('cjs.cjs')), { required: 'acme', imported: 'acme', shared: 'acme', oneCopy: true })
})

t.test('the inspector belongs to the same context by import and by require', async (t) => {
  for (const [file, load] of Object.entries({ 'inspect.mjs': 'await import', 'inspect.cjs': 'require' })) {
    await write(file, `
      async function main () {
        const Fastify = (await import('fastify')).default
        const context = ${load}('fastify-ctx')
        const inspect = ${load}('fastify-ctx/inspect')
        const app = Fastify()
        app.register(context, { keys: { tenant: { seed: () => 'acme', log: true } } })
        app.register(inspect, { unsafe: true })
        const { contexts: [{ inFlight }] } = (await app.inject('/_ctx/data')).json()
        console.log(JSON.stringify(inFlight.scopes[0].fields))
        await app.close()
      }
      main()
    `)
    t.same(JSON.parse(await printed(file)), { tenant: 'acme' }, file)
  }
})

t.test('TypeScript: the ready-made context is typed by augmenting fastify-ctx', async (t) => {
  await write('ready-made/main.ts', `
    import Fastify from 'fastify'
    import context, { ctx, type Present } from 'fastify-ctx'

    interface User { readonly id: string }
    declare function authenticate (token: string | undefined): Promise<User>

    declare module 'fastify-ctx' {
      interface ContextValues { tenant: string, user: User, locale: Present<string> }
    }
    // As it was before moving over; its request id gives way to ours.
    declare module '@fastify/request-context' {
      interface RequestContextData { basket: string[], requestId: number }
    }

    const app = Fastify({ logger: true })
    await app.register(context, {
      keys: {
        tenant: (request) => request.headers['x-tenant-id'],
        user: { log: (user) => user.id },
        locale: () => 'de'
      }
    })
    app.addHook('preHandler', async (request) => { request.ctx.user = await authenticate(request.headers.authorization) })
    app.get('/', async (request) => request.ctx.tenant)
    export function anywhere () { ctx.log.info('deep'); return ctx.get('tenant') }

    export const maybe: string | undefined = anywhere()
    export const sure: string = ctx.require('tenant')
    export const basket: string[] = ctx.require('basket')
    export const requestId: string = ctx.require('requestId')
    app.get('/locale', async ({ ctx: { locale } }) => locale.toUpperCase())

    // There may be no request.
    // @ts-expect-error
    export const unsure: string = ctx.get('tenant')

    // An unknown key.
    // @ts-expect-error
    ctx.get('tenantt')

    // A value of another type.
    // @ts-expect-error
    ctx.set('tenant', 1)

    // A seed of another type.
    // @ts-expect-error
    app.register(context, { keys: { tenant: () => 1 } })

    app.get('/negatives', async (request) => {
      // Without authentication there is no user.
      // @ts-expect-error
      request.ctx.user.id

      // An unknown key.
      // @ts-expect-error
      request.ctx.tenantt

      // The request id is fixed.
      // @ts-expect-error
      request.ctx.requestId = 'other'
    })
  `)
  await compiles(t, 'ready-made')
})

t.test('TypeScript: a custom context named ctx types request.ctx with one line', async (t) => {
  await write('own/context.ts', `
    import type { FastifyRequest } from 'fastify'
    import { createContext, key, type ValuesOf } from 'fastify-ctx'

    interface User { readonly id: string }
    declare function findTenant (request: FastifyRequest): Promise<string | undefined>

    export const ctx = createContext({
      tenant: key<string>({ seed: findTenant, log: (tenant) => tenant.toLowerCase() }),
      region: key<string>({ seed: (request) => request.headers['x-region'] }),
      user: key<User>({ log: (user) => user.id }),
      token: key<string>(),
      locale: key<string>({ seed: () => 'de' }),
      shard: key<number>({ seed: async () => 1 }),
      // Seeds that read other keys say what they return: the type of ctx follows from it.
      greeting: key<string>({ seed: (request): string => request.ctx.locale }),
      zone: key<string>({ seed: (): string | undefined => ctx.get('region') })
    })

    // Not 'fastify-ctx': that exports a ctx, too, which is what the name would mean in here (TS2310).
    declare module 'fastify-ctx/types' {
      interface ContextValues extends ValuesOf<typeof ctx> {}
    }
  `)
  await write('own/main.ts', `
    import Fastify from 'fastify'
    import { ctx } from './context.js'

    // What a library declares for the other package is no key of this context.
    declare module '@fastify/request-context' {
      interface RequestContextData { legacy: string }
    }

    const app = Fastify()
    await app.register(ctx.plugin)
    app.get('/', async (request) => {
      const present: [string, number, string, string] = [request.ctx.locale, request.ctx.shard, request.ctx.greeting, request.ctx.requestId]
      request.ctx.user = { id: '1' }
      request.ctx.tenant = undefined

      // Its seed may return undefined.
      // @ts-expect-error
      request.ctx.tenant.length

      // It has no seed.
      // @ts-expect-error
      request.ctx.token.length

      // A value of another type.
      // @ts-expect-error
      request.ctx.user = 'me'

      // A key that each request has is not unset.
      // @ts-expect-error
      request.ctx.locale = undefined

      // An unknown key.
      // @ts-expect-error
      request.ctx.tenantt

      // A key of another context.
      // @ts-expect-error
      request.ctx.legacy

      return present
    })

    export const maybe: string | undefined = ctx.get('locale')
    export const sure: string = ctx.require('tenant')
    export const job: Promise<number> = ctx.run({ tenant: 'acme' }, async () => 1)

    // There may be no request.
    // @ts-expect-error
    export const unsure: string = ctx.get('locale')

    // An unknown key.
    // @ts-expect-error
    ctx.run({ tenantt: 'acme' }, () => {})
  `)
  await compiles(t, 'own')
})

t.test('JavaScript with checkJs: JSDoc types the keys', async (t) => {
  await write('js/checked.js', await readFile(join(root, 'test/toolchains/types/checked.js'), 'utf8'))
  const page = await readFile(join(root, 'docs/toolchains.md'), 'utf8')
  const [, block] = /```js\n([^]*?)```/.exec(page)!
  await write('js/page.js', `import { createContext, key } from 'fastify-ctx'
    /** @typedef {{ id: string }} User */
    ${block}
    /** @type {string | undefined} */
    export const tenant = ctx.get('tenant')
    /** @type {User} */
    export const user = ctx.require('user')
    // @ts-expect-error An unknown key.
    ctx.get('tenantt')`)
  await compiles(t, 'js', { allowJs: true, checkJs: true })
})

/** Packs the package and installs it next to the user's dependencies. Returns the names of the packed files. */
async function packAndInstall (): Promise<string[]> {
  await write('package.json', JSON.stringify({ private: true }))
  await write('tsconfig.json', JSON.stringify({
    compilerOptions: {
      target: 'es2023',
      lib: ['es2023'],
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true
    }
  }))
  const packing = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], root)
  const [{ filename, files }] = JSON.parse(packing.stdout) as [{ filename: string, files: Array<{ path: string }> }]
  const beside = ['fastify', 'typescript', '@types/node'].map(async (name) => `${name}@${await versionHere(name)}`)
  const installing = await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${filename}`, ...await Promise.all(beside)])
  if (installing.code !== 0) throw new Error(`npm install failed: ${installing.stderr}`)
  return files.map(({ path }) => path)
}

/** The version of a package that this repository is tested with. */
async function versionHere (name: string): Promise<string> {
  return JSON.parse(await readFile(join(repository, name, 'package.json'), 'utf8')).version
}

/** Writes a file of the project. */
async function write (file: string, text: string): Promise<void> {
  const path = join(project, file)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}

/** The output of a script of the project. */
async function printed (script: string): Promise<string> {
  const { code, stdout, stderr } = await run(process.execPath, [script])
  if (code !== 0) throw new Error(`${script} failed: ${stderr}`)
  return stdout
}

/** Asserts that a folder of the project compiles with TypeScript 6 and 7, including its `@ts-expect-error` comments. */
async function compiles (t: Tap, folder: string, compilerOptions: object = {}): Promise<void> {
  await write(`${folder}/package.json`, JSON.stringify({ type: 'module' }))
  await write(`${folder}/tsconfig.json`, JSON.stringify({ extends: '../tsconfig.json', compilerOptions, include: ['.'] }))
  const compilers = { 'TypeScript 6': join(project, 'node_modules/typescript/bin/tsc'), 'TypeScript 7': join(repository, 'typescript-7/bin/tsc') }
  for (const [compiler, path] of Object.entries(compilers)) {
    const { code, stdout, stderr } = await run(process.execPath, [path, '-p', folder])
    t.same({ code, output: stdout + stderr }, { code: 0, output: '' }, compiler)
  }
}

type Tap = Pick<typeof t, 'same'>

/** Runs a program without tap's loader, with which TypeScript 7 does not start (ERR_REQUIRE_CYCLE_MODULE). */
async function run (program: string, args: string[], cwd: string = project): Promise<Outcome> {
  return await runWithoutTap(program, args, { cwd })
}
