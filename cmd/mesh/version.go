package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this command",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version(info))
			return err
		},
	}
}

// version describes the build of a binary. info is nil if the binary was built without modules.
func version(info *debug.BuildInfo) string {
	text := "mesh"
	if info != nil {
		settings := make(map[string]string)
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		var facts []string
		if revision := settings["vcs.revision"]; revision != "" {
			facts = append(facts, "commit "+revision)
		}
		if settings["vcs.modified"] == "true" {
			facts = append(facts, "modified")
		}
		text += " " + info.Main.Version
		if len(facts) > 0 {
			text += " (" + strings.Join(facts, ", ") + ")"
		}
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
