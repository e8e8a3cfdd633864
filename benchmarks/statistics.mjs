// Statistics over several rounds and several sets of processes.

/** The mean of the three lowest. */
export function lowest (figures) {
  const low = figures.toSorted((a, b) => a - b).slice(0, 3)
  return low.reduce((sum, figure) => sum + figure, 0) / low.length
}

/** The median of the sets, and the lowest and highest: the spread. */
export function summary (figures) {
  const sorted = figures.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
  return { median, low: sorted[0], high: sorted.at(-1) }
}

/** The same for a value computed from several variants, set by set, because those of one set were measured in turn. */
export function combined (make, ...variants) {
  return summary(variants[0].map((_, set) => make(...variants.map((figures) => figures[set]))))
}

/** The cost of one variant relative to another. */
export function ratio (figures, base) {
  return combined((a, b) => a / b, figures, base)
}
