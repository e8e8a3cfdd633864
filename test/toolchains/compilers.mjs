// TypeScript: versions × module resolutions × strictness, with declarations; composite projects; CommonJS.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const VERSIONS = ['5.4', '5.9', '6', '7']

const STRICT = {
  strict: { strict: true },
  strictest: { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noPropertyAccessFromIndexSignature: true, skipLibCheck: false }
}

/** Module settings, and the compilers that know them. `commonjs` is a package without `type: module`. */
const MODULES = {
  nodenext: { options: { module: 'nodenext' } },
  bundler: { options: { module: 'esnext', moduleResolution: 'bundler' } },
  preserve: { options: { module: 'preserve' } },
  'commonjs, node10': { type: 'commonjs', only: ['5.4', '5.9'], options: { module: 'commonjs', moduleResolution: 'node10', esModuleInterop: true } },
  commonjs: { type: 'commonjs', only: ['6', '7'], options: { module: 'commonjs', esModuleInterop: true } },
  'nodenext in CommonJS': { type: 'commonjs', only: ['5.9', '6', '7'], options: { module: 'nodenext' } }
}

export const compilers = VERSIONS.map((version) => ({
  name: `TypeScript ${version}`,
  tools: [`typescript@${version}`],
  cases (kit, folder) {
    const tsc = async (...args) => {
      const { ok, output } = await kit.run(folder, process.execPath, ['node_modules/typescript/bin/tsc', ...args])
      return ok ? '' : output
    }
    const cases = {}
    for (const [name, { options, type = 'module', only = VERSIONS }] of Object.entries(MODULES)) {
      if (!only.includes(version)) continue
      for (const [strictness, flags] of Object.entries(STRICT)) {
        // The strictest flags find everything that the others find. Unchecked declarations turn into `any`, which is checked once per version.
        if (strictness === 'strict' && name !== 'nodenext') continue
        cases[`${name}, ${strictness}`] = async () => {
          const project = join(folder, `${name} ${strictness}`.replaceAll(/\W+/g, '-'))
          kit.copy('types', project)
          kit.write(join(project, 'package.json'), { private: true, type })
          kit.write(join(project, 'tsconfig.json'), { compilerOptions: { target: 'es2022', lib: ['es2023'], types: ['node'], declaration: true, rootDir: '.', outDir: 'out', skipLibCheck: true, ...options, ...flags }, include: ['*.ts'] })
          return await tsc('-p', project)
        }
      }
    }
    cases['composite: ctx in one package of a monorepo, used and augmenting in another'] = async () => {
      const project = join(folder, 'composite')
      const compilerOptions = { target: 'es2022', lib: ['es2023'], types: ['node'], module: 'nodenext', strict: true, composite: true, skipLibCheck: false, rootDir: '.', outDir: 'out' }
      const [context, main] = ['context.ts', 'main.ts'].map((file) => readFileSync(join(kit.fixtures, 'types', file), 'utf8'))
      const [augmentation] = /^declare module [^]*?^}\n/m.exec(context)
      kit.write(join(project, 'a/context.ts'), context.replace(augmentation, ''))
      kit.write(join(project, 'a/package.json'), { name: '@acme/context', type: 'module', exports: { types: './out/context.d.ts', default: './out/context.js' } })
      kit.write(join(project, 'b/main.ts'), main.replace('./context.js', '@acme/context'))
      kit.write(join(project, 'b/context-values.ts'), `import type { ValuesOf } from 'fastify-ctx'\nimport type { ctx } from '@acme/context'\n${augmentation}`)
      kit.write(join(project, 'b/package.json'), { name: '@acme/app', type: 'module' })
      kit.write(join(project, 'a/tsconfig.json'), { compilerOptions, include: ['*.ts'] })
      kit.write(join(project, 'b/tsconfig.json'), { compilerOptions, include: ['*.ts'], references: [{ path: '../a' }] })
      kit.link(join(project, 'a'), join(project, 'node_modules/@acme/context'))
      return await tsc('-b', join(project, 'b'))
    }
    cases['JavaScript with checkJs'] = async () => {
      const project = join(folder, 'js')
      kit.copy('types/checked.js', join(project, 'checked.js'))
      kit.write(join(project, 'package.json'), { private: true, type: 'module' })
      kit.write(join(project, 'tsconfig.json'), { compilerOptions: { target: 'es2022', lib: ['es2023'], types: ['node'], module: 'nodenext', strict: true, allowJs: true, checkJs: true, noEmit: true, skipLibCheck: false }, include: ['*.js'] })
      return await tsc('-p', project)
    }
    return cases
  }
}))
