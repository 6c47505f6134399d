'use strict'

// Somebody who visits pages in headless Chromium, each in a tab of its own, by Playwright.
//
//   visit {url, options}   options are Playwright's for a context. Answered with visited
//   run {text}             the body of an async function, with the page as page. Answered with ran {result}, or {error}
//
// Events: failed {error}, for what the page throws, and what its policy keeps it from.

const fs = require('fs')
const path = require('path')
const { chromium } = require('playwright-core')
const { report, serve } = require('./lines')

const PATIENCE = 15000 // milliseconds, less than the tests'
const pages = new Map()

const browser = chromium.launch({
  executablePath: process.env.PATH.split(path.delimiter).map(dir => path.join(dir, 'chromium')).find(fs.existsSync),
  chromiumSandbox: false,
  ignoreDefaultArgs: ['--disable-back-forward-cache'], // pages that are left are kept, as for everybody else
  args: ['--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
    '--host-resolver-rules=MAP *.example 127.0.0.1'] // as whoever owns such a name can have it
})

serve({
  visit ({ id, url, options }) {
    answer(id, 'visited', async function () {
      const context = await (await browser).newContext(options)
      const page = await context.newPage()
      page.setDefaultTimeout(PATIENCE)
      const fail = text => report({ id, event: 'failed', error: text })
      page.on('pageerror', error => fail(error.message))
      page.on('dialog', dialog => fail('a dialog: ' + dialog.message()))
      page.on('console', message => /Content Security Policy/.test(message.text()) && fail(message.text()))
      pages.set(id, page)
      await page.goto(url)
    })
  },

  run ({ id, text }) {
    answer(id, 'ran', () => new Function('page', 'return (async () => {' + text + '})()')(pages.get(id)))
  }
})

function answer (id, event, fn) {
  fn().then(result => report({ id, event, result }), error => report({ id, event, error: error.message }))
}
