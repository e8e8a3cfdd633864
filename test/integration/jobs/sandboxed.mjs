// The file of a sandboxed processor. Node 20 needs help with TypeScript, and `--import tsx` does not work in a thread.
if (!process.features.typescript) (await import('tsx/esm/api')).register()
const { ctx, run } = await import('./bound.ts')

export default (job) => run(job, () => ctx.get('tenant'))
