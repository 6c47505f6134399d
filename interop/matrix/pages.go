package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/interop"
)

// pagesCommand returns the command matrix pages.
func pagesCommand(stdout, stderr io.Writer) *cobra.Command {
	bundles := interop.PageBundles
	var browsers []string
	for _, b := range interop.PageBrowsers {
		browsers = append(browsers, string(b))
	}
	cmd := &cobra.Command{
		Use:   "pages",
		Short: "Run old browser bundles in real browsers",
		Long: `pages runs the browser bundles of revision 3 that npm has in real browsers, with this
project's server and hub, and prints a table: a row a bundle and browser, a column an
exchange, and in it a mark for polling and one for an upgrade.

A ✓ is an exchange that works, a ✗ a failure, and a – does not apply. A ? was not run,
because a program is missing: chromium, firefox-esr, or WebKitWebDriver and Xvfb.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.Flags().StringSliceVar(&bundles, "bundle", bundles, "the `versions` of engine.io-client, and original")
	cmd.Flags().StringSliceVar(&browsers, "browser", browsers, "the `browsers`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var in []interop.Browser
		for _, name := range browsers {
			if !slices.Contains(interop.PageBrowsers, interop.Browser(name)) {
				return fmt.Errorf("there is no browser %q", name)
			}
			in = append(in, interop.Browser(name))
		}
		for _, b := range bundles {
			if !slices.Contains(interop.PageBundles, b) {
				return fmt.Errorf("there is no bundle %q", b)
			}
		}
		failed := false
		rows := interop.RunPageTable(cmd.Context(), bundles, in, func(r interop.PageResult) {
			if err := r.Err(); err != nil {
				failed = true
				_, _ = fmt.Fprintln(stderr, "✗", err)
			}
		})
		if err := interop.WritePageTable(stdout, rows); err != nil {
			return err
		}
		if failed {
			return errOurs
		}
		return nil
	}
	return cmd
}
