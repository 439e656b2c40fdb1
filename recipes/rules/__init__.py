"""The rule library: `use "vggc:rules/NAME.opt"`. Data only."""
