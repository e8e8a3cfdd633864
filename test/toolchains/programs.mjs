// Runs the package: in runtimes, test runners, and package managers with other node_modules layouts or none.
import { join } from 'node:path'

/** Runs the probe in a project with a command. */
const probed = (kit, folder, command, args, place) => async () => {
  kit.copy('probe.mjs', join(folder, 'probe.mjs'))
  return kit.judge((await kit.run(folder, command, args)).output, place)
}

/** Bun omits a function that returns a call from the stack, because JavaScriptCore reuses its frame. So the warning names the line that called it. */
const SOME_LINE = /probe\.mjs:\d+:\d+/

export const runtimes = [
  { name: 'Node.js', tools: [], cases: (kit, folder) => ({ 'the probe as it is': probed(kit, folder, process.execPath, ['probe.mjs']) }) },
  { name: 'tsx', tools: ['tsx'], cases: (kit, folder) => ({ 'the probe as it is': probed(kit, folder, process.execPath, ['--import', 'tsx', 'probe.mjs']) }) },
  {
    name: 'Node.js, types stripped',
    tools: ['node@24'],
    cases: (kit, folder) => ({
      'a file of TypeScript': async () => {
        kit.copy('probe.mjs', join(folder, 'probe.mts'))
        return kit.judge((await kit.run(folder, 'npx', ['--no-install', 'node', 'probe.mts'])).output)
      }
    })
  },
  { name: 'Bun', tools: ['bun'], cases: (kit, folder) => ({ 'the probe as it is': probed(kit, folder, 'npx', ['--no-install', 'bun', 'probe.mjs'], SOME_LINE) }) },
  { name: 'Deno', tools: ['deno'], cases: (kit, folder) => ({ 'the probe as it is': probed(kit, folder, 'npx', ['--no-install', 'deno', 'run', '-A', 'probe.mjs']) }) }
]

/** Runs one file of test/toolchains/runners with a command that fails if the test does. */
const tested = (kit, folder, file, command, args, { files = {}, env = {}, expect = /./ } = {}) => async () => {
  kit.copy(`runners/${file}`, join(folder, file))
  for (const [name, content] of Object.entries(files)) kit.write(join(folder, name), content)
  const { ok, output } = await kit.run(folder, command, args, env)
  return ok && expect.test(output) ? '' : output
}

const JEST_ESM = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--moduleFileExtensions', 'mjs', '--moduleFileExtensions', 'js', '--moduleFileExtensions', 'json']

export const runners = [
  { name: 'node:test', tools: [], cases: (kit, folder) => ({ ESM: tested(kit, folder, 'node.test.mjs', process.execPath, ['--test', 'node.test.mjs']) }) },
  { name: 'mocha', tools: ['mocha'], cases: (kit, folder) => ({ ESM: tested(kit, folder, 'mocha.test.mjs', 'npx', ['--no-install', 'mocha', 'mocha.test.mjs'], { expect: /1 passing/ }) }) },
  { name: 'ava', tools: ['ava'], cases: (kit, folder) => ({ ESM: tested(kit, folder, 'ava.test.mjs', 'npx', ['--no-install', 'ava', 'ava.test.mjs'], { expect: /1 test passed/ }) }) },
  { name: 'tap', tools: ['tap'], cases: (kit, folder) => ({ ESM: tested(kit, folder, 'tap.test.mjs', 'npx', ['--no-install', 'tap', 'run', '--disable-coverage', '--allow-empty-coverage', 'tap.test.mjs']) }) },
  {
    name: 'vitest',
    tools: ['vitest@3'],
    cases: (kit, folder) => Object.fromEntries(['threads', 'forks', 'vmThreads', 'vmForks'].map((pool) => [pool, tested(kit, folder, 'vitest.test.mjs', 'npx', ['--no-install', 'vitest', 'run', `--pool=${pool}`], { expect: /1 passed/ })]))
  },
  {
    name: 'jest',
    tools: ['jest@30', '@babel/preset-env', 'node@24'],
    cases: (kit, folder) => ({
      ESM: tested(kit, folder, 'jest.test.mjs', process.execPath, [...JEST_ESM, '--testMatch', '**/jest.test.mjs'], { expect: /1 passed/ }),
      'ESM, with inject, on Node.js 24': tested(kit, folder, 'jest-inject.test.mjs', 'npx', ['--no-install', 'node', ...JEST_ESM, '--testMatch', '**/jest-inject.test.mjs'], { expect: /1 passed/ }),
      'CommonJS, by Babel, with inject': tested(kit, folder, 'jest.test.cjs', process.execPath, ['node_modules/jest/bin/jest.js', '-c', 'jest.config.json'], {
        files: {
          'jest.config.json': { testMatch: ['**/*.test.cjs'], moduleFileExtensions: ['cjs', 'js', 'mjs', 'json'], transform: { '\\.[cm]?js$': ['babel-jest', { presets: [['@babel/preset-env', { targets: { node: 'current' } }]] }] }, transformIgnorePatterns: ['/node_modules/(?!(?:fastify-ctx|cookie)/)'] }
        },
        expect: /1 passed/
      })
    })
  }
]

export const managers = [
  {
    name: 'pnpm',
    tools: ['pnpm@12.4.2'],
    cases: (kit, folder) => ({
      'strict, nothing hoisted': async () => {
        const project = join(folder, 'strict')
        kit.write(join(project, 'package.json'), { private: true, type: 'module', dependencies: { fastify: kit.version('fastify'), 'fastify-ctx': `file:${kit.tarball}` } })
        kit.write(join(project, 'pnpm-workspace.yaml'), 'hoist: false\nstrictPeerDependencies: true\nautoInstallPeers: false\n')
        kit.write(join(project, '.npmrc'), 'hoist=false\nstrict-peer-dependencies=true\nauto-install-peers=false\n')
        const installed = await kit.run(project, join(folder, 'node_modules/.bin/pnpm'), ['install'])
        if (!installed.ok) return /ERR_PNPM_(?:FETCH|META_FETCH)|ENOTFOUND|Unsupported|requires at least/.test(installed.output) ? { skip: installed.output.slice(-300) } : installed.output
        return await probed(kit, project, process.execPath, ['probe.mjs'])()
      }
    })
  },
  {
    name: 'yarn',
    tools: ['@yarnpkg/cli-dist'],
    cases: (kit, folder) => ({
      PnP: async () => {
        const project = join(folder, 'pnp')
        const yarn = [join(folder, 'node_modules/@yarnpkg/cli-dist/bin/yarn.js')]
        kit.write(join(project, 'package.json'), { private: true, type: 'module', dependencies: { fastify: kit.version('fastify'), 'fastify-ctx': `file:${kit.tarball}` } })
        kit.write(join(project, 'yarn.lock'), '')
        kit.write(join(project, '.yarnrc.yml'), `nodeLinker: pnp\nenableTelemetry: false\nenableGlobalCache: false\nenableImmutableInstalls: false\n${process.env.npm_config_registry === undefined ? '' : `npmRegistryServer: "${process.env.npm_config_registry.replace(/\/$/, '')}"\n`}`)
        const installed = await kit.run(project, process.execPath, [...yarn, 'install'])
        if (!installed.ok) return /YN0035|YN0001: .*Request|ENOTFOUND|ECONNREFUSED|quarantine|YN0016/.test(installed.output) ? { skip: installed.output.slice(-400) } : installed.output
        return await probed(kit, project, process.execPath, [...yarn, 'node', 'probe.mjs'])()
      }
    })
  }
]
