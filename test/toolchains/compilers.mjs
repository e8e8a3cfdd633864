// TypeScript: versions × module resolutions × strictness, with declarations; composite projects; CommonJS.
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
    cases['composite, ctx in one project and used in another'] = async () => {
      const project = join(folder, 'composite')
      const compilerOptions = { target: 'es2022', lib: ['es2023'], types: ['node'], module: 'nodenext', strict: true, composite: true, skipLibCheck: false }
      kit.copy('types/context.ts', join(project, 'a/context.ts'))
      kit.copy('types/main.ts', join(project, 'b/main.ts'))
      kit.write(join(project, 'b/context.ts'), "export * from '../a/context.js'\n")
      kit.write(join(project, 'package.json'), { private: true, type: 'module' })
      kit.write(join(project, 'a/tsconfig.json'), { compilerOptions: { ...compilerOptions, rootDir: '.', outDir: 'out' }, include: ['*.ts'] })
      kit.write(join(project, 'b/tsconfig.json'), { compilerOptions: { ...compilerOptions, rootDir: '.', outDir: 'out' }, include: ['*.ts'], references: [{ path: '../a' }] })
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
