// The rates of events by sender and by name, over the last seconds.

const WINDOW = 5 // seconds
const MOST = 2000 // the number of pairs of sender and name that are counted separately in a second

export function countRates () {
  let seconds = [] // the newest last: the number of events by sender and name
  const first = now()

  return {
    heard (from, event) {
      const at = now()
      let last = seconds[seconds.length - 1]
      if (!last || last.at !== at) {
        last = { at, senders: new Map(), pairs: 0, more: 0 }
        seconds = seconds.filter(s => s.at > at - WINDOW - 1).concat(last)
      }
      let names = last.senders.get(from)
      const count = names && names.get(event)
      if (count) return names.set(event, count + 1)
      if (last.pairs++ >= MOST) return last.more++
      if (!names) last.senders.set(from, names = new Map())
      names.set(event, 1)
    },

    // rates returns the rates per second: the total, the senders with their names, and the names. The highest rates
    // come first.
    rates () {
      const at = now()
      const whole = seconds.filter(s => s.at >= at - WINDOW && s.at < at)
      const length = Math.max(1, Math.min(WINDOW, at - first))
      const senders = new Map()
      const names = new Map()
      let total = 0
      const add = (map, key, rate) => {
        if (!map.has(key)) map.set(key, { key, rate: 0, names: new Map() })
        const entry = map.get(key)
        entry.rate += rate
        return entry
      }
      for (const second of whole) {
        for (const [from, counts] of second.senders) {
          for (const [event, count] of counts) {
            add(add(senders, from, count / length).names, event, count / length)
            add(names, event, count / length)
            total += count / length
          }
        }
        total += second.more / length
      }
      const sorted = map => [...map.values()].sort((a, b) => b.rate - a.rate || (a.key < b.key ? -1 : 1))
      return {
        total,
        senders: sorted(senders).map(({ key, rate, names }) => ({ id: key, rate, names: () => sorted(names).map(n => ({ name: n.key, rate: n.rate })) })),
        names: sorted(names).map(({ key, rate }) => ({ name: key, rate }))
      }
    }
  }
}

const now = () => Math.floor(performance.now() / 1000)

// perSecond formats a rate.
export function perSecond (rate) {
  return (rate >= 100 ? Math.round(rate) : rate >= 10 ? rate.toFixed(0) : rate.toFixed(1)).toString() + '/s'
}
