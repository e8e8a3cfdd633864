// Neighbours of the package: a linter, and second copies of it and of @fastify/request-context, which must be reported.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A library in the application's node_modules that uses the package. */
const LIBRARY = { 'package.json': { name: 'library', type: 'module', exports: './index.js' }, 'index.js': "export { ctx } from 'fastify-ctx'\n" }

const ALLOW = "'@typescript-eslint/no-empty-object-type': ['error', { allowInterfaces: 'with-single-extends' }]"
const DISABLE = '// eslint-disable-next-line @typescript-eslint/no-empty-object-type'

export const libraries = [
  {
    name: 'typescript-eslint',
    tools: ['typescript-eslint', 'eslint@9', 'typescript@5.9'],
    cases: (kit, folder) => {
      const lint = async (rules, source) => {
        kit.write(join(folder, 'eslint.config.mjs'), `import lint from 'typescript-eslint'\nexport default [...lint.configs.recommended, { rules: { ${rules} } }]\n`)
        kit.write(join(folder, 'context.ts'), source)
        const { ok, output } = await kit.run(folder, 'npx', ['--no-install', 'eslint', '--report-unused-disable-directives', '--max-warnings=0', 'context.ts'])
        return ok ? '' : output
      }
      const source = readFileSync(join(kit.fixtures, 'types/context.ts'), 'utf8')
      return {
        'recommended, with the option of docs/toolchains.md': async () => await lint(ALLOW, source),
        'recommended, with the comment of docs/toolchains.md': async () => await lint('', source.replace('  interface ContextValues', `  ${DISABLE}\n  interface ContextValues`)),
        'recommended refuses the line without them, and nothing else': async () => {
          const output = await lint('', source)
          return /✖ 1 problem/.test(output) && output.includes('no-empty-object-type') ? '' : `not what was expected: ${output}`
        }
      }
    }
  },
  {
    name: '@fastify/request-context 6',
    tools: ['@fastify/request-context@6'],
    cases: (kit, folder) => ({
      'register reports it, with both paths': async () => {
        kit.write(join(folder, 'main.mjs'), `
          import Fastify from 'fastify'
          import '@fastify/request-context'
          import context from 'fastify-ctx'
          await Fastify().register(context)`)
        const { output } = await kit.run(folder, process.execPath, ['main.mjs'])
        const [first, second] = ['', 'fastify-ctx/node_modules/'].map((within) => join(folder, 'node_modules', within, '@fastify/request-context/index.js'))
        return output.includes('[FST_CTX_SECOND_REQUEST_CONTEXT]') && output.includes(`from ${first} and from ${second}`) ? '' : output
      }
    })
  },
  {
    name: 'vitest, server.deps.inline',
    tools: ['vitest@3'],
    cases: (kit, folder) => Object.fromEntries(['threads', 'forks', 'vmThreads', 'vmForks'].map((pool) => [`${pool}: the second copy is reported, with both paths`, async () => {
      for (const [file, content] of Object.entries(LIBRARY)) kit.write(join(folder, 'node_modules/library', file), content)
      kit.write(join(folder, 'vitest.config.mjs'), "export default { test: { server: { deps: { inline: ['fastify-ctx'] } } } }")
      kit.write(join(folder, 'copies.test.mjs'), `
        import { expect, test } from 'vitest'
        test('the copy of the tests is not the copy of the library', async () => {
          const warning = new Promise((resolve) => { process.on('warning', resolve) })
          const [{ ctx }, library] = await Promise.all([import('fastify-ctx'), import('library')])
          expect(library.ctx).not.toBe(ctx)
          const { code, message } = await warning
          expect(code).toBe('FST_CTX_SECOND_COPY')
          const [first, second] = /from (\\S+) and from (\\S+)\\. /.exec(message).slice(1).toSorted()
          expect(second).toBe(\`file://\${first}\`)
          expect(message).toContain('remove it from server.deps.inline')
        })`)
      const { ok, output } = await kit.run(folder, 'npx', ['--no-install', 'vitest', 'run', `--pool=${pool}`])
      return ok && /1 passed/.test(output) ? '' : output
    }]))
  }
]
