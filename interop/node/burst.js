'use strict'

// burst sends PREFIX-0 to PREFIX-(count-1) in three parts: the first at once, the second with a message each millisecond,
// and the third at once after the upgrade, if awaitUpgrade is set. So messages leave before, during and after the upgrade.
// send(text) sends a message. The caller must call the returned function at the upgrade.
function burst (options, awaitUpgrade, send) {
  const third = Math.floor(options.count / 3)
  let next = 0
  let upgraded = !awaitUpgrade

  function until (end) {
    while (next < end) send(options.prefix + '-' + next++)
  }
  function step () {
    if (next < 2 * third) {
      until(next + 1)
      setTimeout(step, 1)
    } else if (upgraded) {
      until(options.count)
    }
  }

  until(third)
  step()
  return function () {
    upgraded = true
    if (next >= 2 * third) until(options.count)
  }
}

// A page loads this file as a script.
if (typeof module === 'object') module.exports = burst
