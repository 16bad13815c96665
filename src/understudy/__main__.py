from understudy.cli.main import main

raise SystemExit(main())
